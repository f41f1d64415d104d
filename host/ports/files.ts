// The files of the host, as the file system device needs them. Calls are synchronous: an answer
// from the host's caches takes 1-2 us, against 15 us through a thread pool. When the host proves
// slow, later() makes the calls there.

/** Attributes of an inode, as in Node's BigIntStats. */
export interface FileStat {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly size: bigint;
  readonly blksize: bigint;
  readonly blocks: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Creation time, if the host knows it: inode numbers are reused. */
  readonly birthtimeNs?: bigint;
}

/** Sizes of the file system of an inode, as in Node's BigIntStatsFs. */
export interface FileSystemStat {
  readonly bsize: bigint;
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
}

/** An entry of a directory, as a listing has it. */
export interface DirectoryName {
  readonly name: Uint8Array;
  /** The type bits of its mode, as in `mode >> 12`; 0: the host has not said. */
  readonly type: number;
}

/**
 * Inodes are numbers that `root` and `hold` return and `drop` releases; descriptors come from
 * `open` and go to `close`. A name is one entry of a directory, as bytes: never empty, "." or "..",
 * without "/" and NUL. No call follows a symbolic link or waits for another program. Failures are
 * thrown as in Node, with a `code`.
 */
export interface Files {
  /** Descriptors that this process may still open. A device uses a part of them. */
  descriptorsMax(): number;
  /** Holds the directory with this path. */
  root(path: string): number;
  /** Attributes of what is at `name` now, or null. */
  peek(directory: number, name: Uint8Array): FileStat | null;
  /** Holds what is at `name`: it stays this inode, whatever happens to the name. */
  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat };
  /**
   * Opens what is at `name` for reading, and not what a symbolic link there leads to, without
   * waiting. For a caller that has just seen a regular file there, and closes the descriptor
   * unless `stat` is that of this file. Missing: the caller holds it first. A port has openAt()
   * and holdOpen(), or neither.
   */
  openAt?(directory: number, name: Uint8Array): { descriptor: number; stat: FileStat };
  /** Holds the inode of an open file. */
  holdOpen?(descriptor: number): number;
  /** Releases a held inode. */
  drop(inode: number): void;
  /** Attributes of a held inode. */
  stat(inode: number): FileStat;
  /** Throws unless the host grants this process the access in mask (4 read, 2 write, 1 execute). */
  access(inode: number, mask: number): void;
  /** Sizes of the file system that holds the inode. */
  statfs(inode: number): FileSystemStat;
  /** Text of the symbolic link at `name`. */
  readlink(directory: number, name: Uint8Array): Uint8Array;
  /** Entries of the directory, without "." and "..". ENOMEM if there are more than `max`. */
  list(directory: number, max: number): DirectoryName[];
  /**
   * Opens an inode, which the caller knows to be a regular file. `flags` are FUSE_O_*: the access
   * mode, APPEND, SYNC and DSYNC. Without FileChanges always FUSE_O_RDONLY.
   */
  open(inode: number, flags: number): number;
  /**
   * Fills the views from offset on (a bigint beyond 2^52). Returns the bytes read, fewer at the end
   * of the file.
   */
  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number;
  /** read() by the thread pool. It owns the view until `done`. */
  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  /** Closes a descriptor. */
  close(descriptor: number): void;
  /**
   * Makes one of these calls, or of FileChanges, by the thread pool; `done` gets its result or its
   * error. The caller keeps inodes held and descriptors open until then. Missing: no call waits
   * long.
   */
  later?(call: LaterCall, args: readonly unknown[], done: LaterDone): void;
  /** Do both views hold the same bytes? For a host whose memcmp outruns a loop (bytes.ts). */
  sameBytes?(a: Uint8Array, b: Uint8Array): boolean;
}

/** Calls that may have to wait for a disk. */
export type LaterCall =
  | Exclude<
      keyof Files,
      "descriptorsMax" | "drop" | "holdOpen" | "later" | "openAt" | "readLater" | "sameBytes"
    >
  | Exclude<keyof FileChanges, "keepsSetId" | "writeLater" | "sync" | "syncDirectory">;
/** Receives the result of a LaterCall. */
export type LaterDone = (error: Error | null, result?: unknown) => void;

/** Nanoseconds since 1970, "now" by the host's clock, or null: unchanged. */
export type FileTime = bigint | "now" | null;

/**
 * What a device needs besides Files if the guest may write. Modes are permission bits only. New
 * files belong to the user of this process.
 */
export interface FileChanges {
  /** Does a write of this process keep set-id bits? The kernel clears them unless root writes. */
  keepsSetId(): boolean;
  /** Creates a regular file, which must not exist yet (EEXIST), and opens it with `flags`. */
  create(
    directory: number,
    name: Uint8Array,
    flags: number,
    mode: number,
  ): { descriptor: number; inode: number; stat: FileStat };
  /** Writes the views from offset on; returns the bytes written, which may be fewer. */
  write(descriptor: number, views: readonly Uint8Array[], offset: number): number;
  /** write() by the thread pool. It owns the view until `done`. */
  writeLater(
    descriptor: number,
    view: Uint8Array,
    offset: number,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  /** Truncates an open file to `size` bytes, or extends it with zeros. */
  truncate(descriptor: number, size: number): void;
  /** The same for an inode that is a regular file. */
  resize(inode: number, size: number): void;
  /** Changes the permission bits. */
  chmod(inode: number, mode: number): void;
  /** -1: unchanged. */
  chown(inode: number, uid: number, gid: number): void;
  /** Precise to microseconds. */
  setTimes(inode: number, atime: FileTime, mtime: FileTime): void;
  /** Makes a directory; EEXIST if the name is taken. */
  makeDirectory(directory: number, name: Uint8Array, mode: number): void;
  /** Makes a symbolic link with that text; EEXIST if the name is taken. */
  symlink(directory: number, name: Uint8Array, target: Uint8Array): void;
  /** Gives the file at `name` in `from` another name in `to`. */
  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void;
  /** Removes a name that is not a directory's. */
  unlink(directory: number, name: Uint8Array): void;
  /** Removes an empty directory. */
  removeDirectory(directory: number, name: Uint8Array): void;
  /** Moves a name to another, which it replaces. */
  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void;
  /**
   * Calls `done` when the data of an open file is on disk, and its attributes unless `dataOnly`.
   */
  sync(descriptor: number, dataOnly: boolean, done: (error: Error | null) => void): void;
  /** The same for the entries of a directory. */
  syncDirectory(inode: number, done: (error: Error | null) => void): void;
}
