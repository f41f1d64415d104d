// FUSE requests that change something (linux/fuse.h): the wire. Byte offsets; all fields are little
// endian. The headers, and requests that only read, are in fuse.ts.

export const enum FuseSetattrIn {
  valid = 0, // le32
  fh = 8, // le64
  size = 16, // le64
  lock_owner = 24, // le64
  atime = 32, // le64
  mtime = 40, // le64
  ctime = 48, // le64
  atimensec = 56, // le32
  mtimensec = 60, // le32
  ctimensec = 64, // le32
  mode = 68, // le32
  uid = 76, // le32
  gid = 80, // le32
  sizeof = 88,
}
/** FuseSetattrIn.valid. Bit numbers. */
export const enum FuseSetattrValid {
  MODE = 0,
  UID = 1,
  GID = 2,
  SIZE = 3,
  ATIME = 4,
  MTIME = 5,
  FH = 6,
  ATIME_NOW = 7,
  MTIME_NOW = 8,
  LOCKOWNER = 9,
  CTIME = 10,
  KILL_SUIDGID = 11,
}
/** Then the name; the reply is FuseEntryOut and FuseOpenOut. */
export const enum FuseCreateIn {
  flags = 0, // le32
  mode = 4, // le32
  umask = 8, // le32
  open_flags = 12, // le32
  sizeof = 16,
}
/** Then the data. */
export const enum FuseWriteIn {
  fh = 0, // le64
  offset = 8, // le64
  size = 16, // le32
  write_flags = 20, // le32
  lock_owner = 24, // le64
  flags = 32, // le32
  sizeof = 40,
}
/** FuseWriteIn.write_flags. Bit numbers. */
export const enum FuseWriteFlag {
  CACHE = 0,
  LOCKOWNER = 1,
  KILL_SUIDGID = 2,
}
export const enum FuseWriteOut {
  size = 0, // le32
  sizeof = 8,
}
/** Then the name. */
export const enum FuseMkdirIn {
  mode = 0, // le32
  umask = 4, // le32
  sizeof = 8,
}
/** Then the name. */
export const enum FuseMknodIn {
  mode = 0, // le32
  rdev = 4, // le32
  umask = 8, // le32
  sizeof = 16,
}
/** Then the old name and the new one. */
export const enum FuseRenameIn {
  newdir = 0, // le64
  sizeof = 8,
}
/** Then the old name and the new one. */
export const enum FuseRename2In {
  newdir = 0, // le64
  flags = 8, // le32
  sizeof = 16,
}
/** FuseRename2In.flags. */
export const FUSE_RENAME_NOREPLACE = 1;
export const FUSE_RENAME_EXCHANGE = 2;
export const FUSE_RENAME_WHITEOUT = 4;
/** Then the new name; the directory is the request's nodeid. SYMLINK has names alone. */
export const enum FuseLinkIn {
  oldnodeid = 0, // le64
  sizeof = 8,
}
export const enum FuseFallocateIn {
  fh = 0, // le64
  offset = 8, // le64
  length = 16, // le64
  mode = 24, // le32
  sizeof = 32,
}
/** From the request's node; the reply is FuseWriteOut. */
export const enum FuseCopyFileRangeIn {
  fh_in = 0, // le64
  off_in = 8, // le64
  nodeid_out = 16, // le64
  fh_out = 24, // le64
  off_out = 32, // le64
  len = 40, // le64
  flags = 48, // le64
  sizeof = 56,
}
/** Then the name, with its NUL, and the value. */
export const enum FuseSetxattrIn {
  size = 0, // le32
  flags = 4, // le32
  sizeof = 8,
}
/** FuseFsyncIn.fsync_flags: data alone. */
export const FUSE_FSYNC_FDATASYNC = 1;

/** Permission bits of a mode, and those of them that lend the owner's or the group's rights. */
export const S_IALLUGO = 0o7777;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_IXGRP = 0o10;
