// The files of the host, as the file system device needs them. Calls are synchronous, for answers
// from the host's caches take 1-2 us, against 15 us through the thread pool; where the host has
// proved slow they are made there. A simulation replaces it.

/** What a file system knows about an inode; node's BigIntStats is one. */
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
  /** When the inode was made, where the host knows: another one may get its number later. */
  readonly birthtimeNs?: bigint;
}

export interface FileSystemStat {
  readonly bsize: bigint;
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
}

/**
 * Inodes are numbers that `root` and `hold` hand out and `drop` takes back; descriptors come from
 * `open` and go to `close`. A name is one entry of a directory, as bytes: never empty, "." or "..",
 * without "/" and NUL. No call follows a symbolic link, none waits for another program. Failures
 * are thrown as node does, with a `code`.
 */
export interface Files {
  /** Descriptors that this process may still open; the device keeps to a part of them. */
  descriptorsMax(): number;
  /** Holds the directory that is shared. */
  root(path: string): number;
  /** What is at `name` now, or null. */
  peek(directory: number, name: Uint8Array): FileStat | null;
  /** Holds what is at `name`, so that it stays this inode whatever happens to the name. */
  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat };
  drop(inode: number): void;
  stat(inode: number): FileStat;
  /**
   * Throws unless the host lets this process do what mask asks for (4 read, 2 write, 1 execute).
   */
  access(inode: number, mask: number): void;
  statfs(inode: number): FileSystemStat;
  /** Text of the symbolic link at `name`. */
  readlink(directory: number, name: Uint8Array): Uint8Array;
  /** Names in the directory, without "." and ".."; ENOMEM when there are more than `max`. */
  list(directory: number, max: number): Uint8Array[];
  /**
   * Opens a regular file; the caller has made sure that it is one. `flags` are FUSE_O_*: how it is
   * accessed, APPEND, SYNC and DSYNC. Without FileChanges it is FUSE_O_RDONLY.
   */
  open(inode: number, flags: number): number;
  /**
   * Fills the views from offset on, a bigint when it is beyond 2^52; returns the bytes read, fewer
   * at the end of the file.
   */
  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number;
  /** read() of one view, which is the callee's until `done`, by the thread pool. */
  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  close(descriptor: number): void;
  /**
   * Makes one of these calls, or of FileChanges, by the thread pool; `done` gets what it returns or
   * throws, later. What it is about stays held, and open, until then. Missing: none may wait long.
   */
  later?(call: LaterCall, args: readonly unknown[], done: LaterDone): void;
  /** Do both views hold the same bytes? For a host whose memcmp outruns a loop (bytes.ts). */
  sameBytes?(a: Uint8Array, b: Uint8Array): boolean;
}

/** Calls that may have to wait for a disk. */
export type LaterCall =
  | Exclude<keyof Files, "descriptorsMax" | "drop" | "readLater" | "later" | "sameBytes">
  | Exclude<keyof FileChanges, "keepsSetId" | "writeLater" | "sync" | "syncDirectory">;
export type LaterDone = (error: Error | null, result?: unknown) => void;

/** Nanoseconds since 1970, "now" by the host's clock, or null: as it is. */
export type FileTime = bigint | "now" | null;

/**
 * What a device needs beside Files where the guest may write. Modes are the permission bits alone;
 * new files are the user's that runs this process.
 */
export interface FileChanges {
  /** Does a write of this process leave set-id bits as they are? The kernel lets root's do so. */
  keepsSetId(): boolean;
  /** Makes a regular file that is not there yet (EEXIST), and opens it as `flags` say. */
  create(
    directory: number,
    name: Uint8Array,
    flags: number,
    mode: number,
  ): { descriptor: number; inode: number; stat: FileStat };
  /** Writes the views from offset on; returns the bytes written, which may be fewer. */
  write(descriptor: number, views: readonly Uint8Array[], offset: number): number;
  /** write() of one view, which is the callee's until `done`, by the thread pool. */
  writeLater(
    descriptor: number,
    view: Uint8Array,
    offset: number,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  /** Cuts an open file, or fills it up with zeros, to `size` bytes. */
  truncate(descriptor: number, size: number): void;
  /** The same of an inode that is a regular file. */
  resize(inode: number, size: number): void;
  chmod(inode: number, mode: number): void;
  /** -1: as it is. */
  chown(inode: number, uid: number, gid: number): void;
  /** To microseconds. */
  setTimes(inode: number, atime: FileTime, mtime: FileTime): void;
  makeDirectory(directory: number, name: Uint8Array, mode: number): void;
  symlink(directory: number, name: Uint8Array, target: Uint8Array): void;
  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void;
  unlink(directory: number, name: Uint8Array): void;
  removeDirectory(directory: number, name: Uint8Array): void;
  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void;
  /** Calls `done` when an open file is on the disk, with its attributes unless `dataOnly`. */
  sync(descriptor: number, dataOnly: boolean, done: (error: Error | null) => void): void;
  /** The same of a directory's entries. */
  syncDirectory(inode: number, done: (error: Error | null) => void): void;
}
