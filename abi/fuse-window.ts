// Files in shared memory (virtio 5.11.6.4, linux/fuse.h): the wire. The window is shared memory
// region 0 of the device; the driver asks for parts of files in it.

export const FS_SHM_WINDOW = 0;
/** Parts of files and of the window begin and end at multiples of this; log2 in INIT's reply. */
export const FS_WINDOW_ALIGNMENT_LOG2 = 16;

/** The file is the request's node: fh says whether it may be written, or is all ones. */
export const enum FuseSetupmappingIn {
  fh = 0, // le64
  foffset = 8, // le64
  len = 16, // le64
  flags = 24, // le64
  moffset = 32, // le64, in the window
  sizeof = 40,
}
/** FuseSetupmappingIn.flags. Bit numbers. */
export const enum FuseSetupmappingFlag {
  WRITE = 0,
  READ = 1,
}
/** Then `count` of FuseRemovemappingOne, with nothing between. */
export const enum FuseRemovemappingIn {
  count = 0, // le32
  sizeof = 4,
}
export const enum FuseRemovemappingOne {
  moffset = 0, // le64
  len = 8, // le64
  sizeof = 16,
}
export const FS_REMOVEMAPPING_MAX = 256;
