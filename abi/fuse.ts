// Virtio file system device (virtio 5.11) and FUSE 7.38 (linux/fuse.h), which it carries: the wire.
// A request is {in_header, arguments, data}, all readable, then {out_header, reply}, all writable.

export const FS_QUEUE_HIPRIO = 0;
export const FS_QUEUE_REQUEST = 1; // the first of num_request_queues
export const FS_TAG_BYTES_MAX = 36;

/** 5.11.4 struct virtio_fs_config. Byte offsets. */
export const enum FsConfig {
  tag = 0, // UTF-8, padded with NUL, without one when full
  num_request_queues = 36, // le32
  sizeof = 40,
}

export const FUSE_KERNEL_VERSION = 7;
export const FUSE_KERNEL_MINOR_VERSION = 38;
/** The oldest minor version whose structures are the ones below. */
export const FUSE_MINOR_VERSION_MIN: u32 = 27;
export const FUSE_ROOT_ID = 1;
/** An inode number that says: not known. */
export const FUSE_UNKNOWN_INO = 0xffffffff;
/** INIT as a big-endian driver writes it (virtio 5.11.6.1). */
export const FUSE_INIT_BIG_ENDIAN = 0x1a000000;
/** Longest name of a directory entry, without its NUL. */
export const FUSE_NAME_BYTES_MAX = 255;
export const FUSE_PAGE_BYTES = 4096;

export const enum FuseOpcode {
  LOOKUP = 1,
  FORGET = 2,
  GETATTR = 3,
  SETATTR = 4,
  READLINK = 5,
  SYMLINK = 6,
  MKNOD = 8,
  MKDIR = 9,
  UNLINK = 10,
  RMDIR = 11,
  RENAME = 12,
  LINK = 13,
  OPEN = 14,
  READ = 15,
  WRITE = 16,
  STATFS = 17,
  RELEASE = 18,
  FSYNC = 20,
  SETXATTR = 21,
  GETXATTR = 22,
  LISTXATTR = 23,
  REMOVEXATTR = 24,
  FLUSH = 25,
  INIT = 26,
  OPENDIR = 27,
  READDIR = 28,
  RELEASEDIR = 29,
  FSYNCDIR = 30,
  GETLK = 31,
  SETLK = 32,
  SETLKW = 33,
  ACCESS = 34,
  CREATE = 35,
  INTERRUPT = 36,
  BMAP = 37,
  DESTROY = 38,
  IOCTL = 39,
  POLL = 40,
  NOTIFY_REPLY = 41,
  BATCH_FORGET = 42,
  FALLOCATE = 43,
  READDIRPLUS = 44,
  RENAME2 = 45,
  LSEEK = 46,
  COPY_FILE_RANGE = 47,
  SETUPMAPPING = 48,
  REMOVEMAPPING = 49,
  SYNCFS = 50,
  TMPFILE = 51,
  STATX = 52,
  COPY_FILE_RANGE_64 = 53,
}

/** Byte offsets, here and in every structure below; all fields are little endian. */
export const enum FuseInHeader {
  len = 0, // le32, of the whole readable part
  opcode = 4, // le32
  unique = 8, // le64, echoed in the reply
  nodeid = 16, // le64
  uid = 24, // le32
  gid = 28, // le32
  pid = 32, // le32
  total_extlen = 36, // le16, in units of 8 bytes
  sizeof = 40,
}
export const enum FuseOutHeader {
  len = 0, // le32, of header and reply
  error = 4, // le32, 0 or a negative Errno; then there is no reply
  unique = 8, // le64
  sizeof = 16,
}
export const enum FuseAttr {
  ino = 0, // le64
  size = 8, // le64
  blocks = 16, // le64, of 512 bytes
  atime = 24, // le64, seconds
  mtime = 32, // le64
  ctime = 40, // le64
  atimensec = 48, // le32
  mtimensec = 52, // le32
  ctimensec = 56, // le32
  mode = 60, // le32
  nlink = 64, // le32
  uid = 68, // le32
  gid = 72, // le32
  rdev = 76, // le32
  blksize = 80, // le32
  flags = 84, // le32
  sizeof = 88,
}
/** Reply of LOOKUP, CREATE, MKNOD, MKDIR, SYMLINK, LINK: one reference on nodeid. */
export const enum FuseEntryOut {
  nodeid = 0, // le64
  generation = 8, // le64
  entry_valid = 16, // le64, seconds that the name may be believed
  attr_valid = 24, // le64, seconds that the attributes may be believed
  entry_valid_nsec = 32, // le32
  attr_valid_nsec = 36, // le32
  attr = 40, // FuseAttr
  sizeof = 128,
}
export const enum FuseInitIn {
  major = 0, // le32
  minor = 4, // le32
  max_readahead = 8, // le32
  flags = 12, // le32
  flags2 = 16, // le32, with INIT_EXT
  sizeof = 64,
}
/** Bytes of FuseInitIn that a driver without INIT_EXT sends. */
export const FUSE_INIT_IN_BYTES_MIN = 16;
export const enum FuseInitOut {
  major = 0, // le32
  minor = 4, // le32
  max_readahead = 8, // le32
  flags = 12, // le32
  max_background = 16, // le16
  congestion_threshold = 18, // le16
  max_write = 20, // le32
  time_gran = 24, // le32, nanoseconds
  max_pages = 28, // le16
  map_alignment = 30, // le16, log2 of bytes
  flags2 = 32, // le32
  sizeof = 64,
}
/** Flags of INIT. Bit numbers. */
export const enum FuseInitFlag {
  ASYNC_READ = 0,
  ATOMIC_O_TRUNC = 3,
  BIG_WRITES = 5,
  AUTO_INVAL_DATA = 12,
  DO_READDIRPLUS = 13,
  READDIRPLUS_AUTO = 14,
  PARALLEL_DIROPS = 18,
  MAX_PAGES = 22,
  MAP_ALIGNMENT = 26,
  INIT_EXT = 30,
}
export const enum FuseForgetIn {
  nlookup = 0, // le64
  sizeof = 8,
}
export const enum FuseBatchForgetIn {
  count = 0, // le32, of FuseForgetOne
  sizeof = 8,
}
export const enum FuseForgetOne {
  nodeid = 0, // le64
  nlookup = 8, // le64
  sizeof = 16,
}
export const enum FuseGetattrIn {
  getattr_flags = 0, // le32
  fh = 8, // le64
  sizeof = 16,
}
export const FUSE_GETATTR_FH = 1; // fh is valid
/** Reply of GETATTR and SETATTR. */
export const enum FuseAttrOut {
  attr_valid = 0, // le64
  attr_valid_nsec = 8, // le32
  attr = 16, // FuseAttr
  sizeof = 104,
}
/** OPEN and OPENDIR. */
export const enum FuseOpenIn {
  flags = 0, // le32, O_* of Linux
  open_flags = 4, // le32
  sizeof = 8,
}
export const enum FuseOpenOut {
  fh = 0, // le64
  open_flags = 8, // le32
  sizeof = 16,
}
/** READ, READDIR and READDIRPLUS. */
export const enum FuseReadIn {
  fh = 0, // le64
  offset = 8, // le64
  size = 16, // le32
  read_flags = 20, // le32
  lock_owner = 24, // le64
  flags = 32, // le32
  sizeof = 40,
}
/** RELEASE and RELEASEDIR. */
export const enum FuseReleaseIn {
  fh = 0, // le64
  flags = 8, // le32
  release_flags = 12, // le32
  lock_owner = 16, // le64
  sizeof = 24,
}
export const enum FuseFlushIn {
  fh = 0, // le64
  lock_owner = 16, // le64
  sizeof = 24,
}
/** FSYNC and FSYNCDIR. */
export const enum FuseFsyncIn {
  fh = 0, // le64
  fsync_flags = 8, // le32, 1: data only
  sizeof = 16,
}
export const enum FuseStatfsOut {
  blocks = 0, // le64
  bfree = 8, // le64
  bavail = 16, // le64
  files = 24, // le64
  ffree = 32, // le64
  bsize = 40, // le32
  namelen = 44, // le32
  frsize = 48, // le32
  sizeof = 80,
}
/** Then the name, padded to 8 bytes. */
export const enum FuseDirent {
  ino = 0, // le64
  off = 8, // le64, cookie of the next entry
  namelen = 16, // le32
  type = 20, // le32, FuseType
  name = 24,
}
/** READDIRPLUS: FuseEntryOut, then FuseDirent. */
export const enum FuseDirentplus {
  entry = 0,
  dirent = 128,
}
export const enum FuseAccessIn {
  mask = 0, // le32
  sizeof = 8,
}
export const enum FuseLseekIn {
  fh = 0, // le64
  offset = 8, // le64
  whence = 16, // le32
  sizeof = 24,
}
export const enum FuseLseekOut {
  offset = 0, // le64
  sizeof = 8,
}
export const enum FuseInterruptIn {
  unique = 0, // le64
  sizeof = 8,
}

/** Type of a file: the upper bits of mode, mode >> 12. */
export const enum FuseType {
  FIFO = 1,
  CHR = 2,
  DIR = 4,
  BLK = 6,
  REG = 8,
  LNK = 10,
  SOCK = 12,
}

/** O_* of Linux on the wire, whatever the host is. */
export const FUSE_O_ACCMODE = 3;
export const FUSE_O_RDONLY = 0;
export const FUSE_O_WRONLY = 1;
export const FUSE_O_RDWR = 2;
export const FUSE_O_CREAT = 0x40;
export const FUSE_O_EXCL = 0x80;
export const FUSE_O_TRUNC = 0x200;
export const FUSE_O_APPEND = 0x400;
export const FUSE_O_DSYNC = 0x1000;
export const FUSE_O_DIRECTORY = 0x10000;
export const FUSE_O_SYNC = 0x101000;

export const FUSE_SEEK_DATA = 3;
export const FUSE_SEEK_HOLE = 4;

/** ACCESS masks. */
export const FUSE_R_OK = 4;
export const FUSE_W_OK = 2;
export const FUSE_X_OK = 1;

/** Bytes of a directory entry with a name of that length. */
export function fuseDirentBytes(nameBytes: u32): u32 {
  return (24 + nameBytes + 7) & ~7;
}
