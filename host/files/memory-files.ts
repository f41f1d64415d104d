// A directory that exists in memory only: a port for devices, with calls of its own for the
// embedder, who puts files there before, while or after the guest uses it.
import { FUSE_O_ACCMODE, FUSE_O_APPEND, FUSE_O_RDONLY, FUSE_O_WRONLY } from "../../abi/fuse.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  DirectoryName,
  FileChanges,
  FileStat,
  FileSystemStat,
  Files,
  FileTime,
} from "../ports/files.ts";
import { type Inode, S_IFDIR, S_IFLNK, S_IFREG } from "./memory-inode.ts";
import { bytesOf, failure, keyOf, keysOf } from "./memory-names.ts";
import { childOf, entriesOf, INODES_MAX, MemoryTree } from "./memory-tree.ts";

const BLOCK_BYTES = 4096;
/** Default of `bytesMax`. */
const BYTES_MAX = 256 * 1024 * 1024;
/** Descriptors that may be open. */
const DESCRIPTORS_MAX = 1024;
const MODE_BITS = 0o7777;
const X_BITS = 0o111;
const X_OK = 1;

/** Options of MemoryFiles. */
export interface MemoryFilesOptions {
  /** Memory for the contents of all files; a write beyond it is ENOSPC. Default: 256 MiB. */
  readonly bytesMax?: number;
}

interface OpenFile {
  readonly inode: Inode;
  readonly flags: number;
}

export class MemoryFiles implements Files, FileChanges {
  readonly #tree: MemoryTree;
  readonly #held = new Map<number, Inode>();
  readonly #open = new Map<number, OpenFile>();
  #nextHold = 1;
  #nextDescriptor = 1;

  /** `files` by path, with their contents; text becomes UTF-8. Times are those of `clock`. */
  constructor(
    clock: Pick<Clock, "realtime">,
    files: Readonly<Record<string, string | Uint8Array>> = {},
    options: MemoryFilesOptions = {},
  ) {
    this.#tree = new MemoryTree(clock, options.bytesMax ?? BYTES_MAX);
    for (const [path, content] of Object.entries(files)) this.writeFile(path, content);
  }

  // ---- for the embedder

  /**
   * Replaces the content of a file, which is made with its directories if it is missing. The
   * content is copied. Throws an Error with a `code`, as Node does: EISDIR, ENOTDIR, ENOSPC.
   */
  writeFile(path: string, content: string | Uint8Array): void {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const keys = keysOf(path);
    const name = keys.pop();
    if (name === undefined) throw failure("EISDIR", path);
    let directory = this.#tree.root;
    for (const key of keys) {
      directory = entriesOf(directory).get(key) ?? this.#tree.add(directory, key, S_IFDIR | 0o755);
    }
    const file = entriesOf(directory).get(name) ?? this.#tree.add(directory, name, S_IFREG | 0o644);
    if (file.isDirectory) throw failure("EISDIR", path);
    if (file.isLink) throw failure("ELOOP", path);
    this.#tree.setSize(file, 0);
    this.#tree.write(file, [bytes], 0);
  }

  /** A copy of a file's content, or null if there is no file. */
  readFile(path: string): Uint8Array | null {
    const found = this.#tree.find(keysOf(path));
    return found === null || found.isDirectory ? null : found.content.slice();
  }

  /** Removes a file, or a directory and all that is in it. False: there is none. */
  remove(path: string): boolean {
    const keys = keysOf(path);
    const name = keys.pop();
    const directory = this.#tree.find(keys);
    const found = name === undefined ? undefined : directory?.entries?.get(name);
    if (found === undefined) return false;
    for (const one of this.#tree.below(found).reverse()) {
      this.#tree.unlink(one.directory, one.name, one.inode);
    }
    this.#tree.unlink(directory as Inode, name as string, found);
    return true;
  }

  /** Paths of all files and links, without a slash in front. */
  paths(): string[] {
    const entries = this.#tree.below(this.#tree.root).filter(({ inode }) => !inode.isDirectory);
    return entries.map(({ path }) => path);
  }

  // ---- Files

  descriptorsMax(): number {
    return DESCRIPTORS_MAX;
  }

  root(path: string): number {
    const found = this.#tree.find(keysOf(path));
    if (found === null) throw failure("ENOENT", path);
    entriesOf(found);
    return this.#hold(found);
  }

  peek(directory: number, name: Uint8Array): FileStat | null {
    return entriesOf(this.#get(directory)).get(keyOf(name))?.stat ?? null;
  }

  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    const found = this.#child(directory, name);
    return { inode: this.#hold(found), stat: found.stat };
  }

  drop(inode: number): void {
    const found = this.#get(inode);
    this.#held.delete(inode);
    this.#tree.unuse(found);
  }

  stat(inode: number): FileStat {
    return this.#get(inode).stat;
  }

  access(inode: number, mask: number): void {
    const { mode, isDirectory, isLink } = this.#get(inode);
    if ((mask & X_OK) === 0 || isDirectory || isLink || (mode & X_BITS) !== 0) return;
    throw failure("EACCES", `inode ${inode}`);
  }

  statfs(inode: number): FileSystemStat {
    this.#get(inode);
    const { bytes, bytesMax, inodes } = this.#tree;
    const free = BigInt(Math.floor((bytesMax - bytes) / BLOCK_BYTES));
    return {
      bsize: BigInt(BLOCK_BYTES),
      blocks: BigInt(Math.floor(bytesMax / BLOCK_BYTES)),
      bfree: free,
      bavail: free,
      files: BigInt(INODES_MAX),
      ffree: BigInt(INODES_MAX - inodes),
    };
  }

  readlink(directory: number, name: Uint8Array): Uint8Array {
    const found = this.#child(directory, name);
    if (!found.isLink) throw failure("EINVAL", "readlink");
    return found.content.slice();
  }

  list(directory: number, max: number): DirectoryName[] {
    const entries = entriesOf(this.#get(directory));
    if (entries.size > max) throw failure("ENOMEM", `${entries.size} names`);
    return [...entries].map(([name, inode]) => ({ name: bytesOf(name), type: inode.mode >> 12 }));
  }

  open(inode: number, flags: number): number {
    return this.#openInode(this.#get(inode), flags);
  }

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    const { inode, flags } = this.#file(descriptor);
    if ((flags & FUSE_O_ACCMODE) === FUSE_O_WRONLY) throw failure("EBADF", "read");
    return inode.read(views, Number(offset));
  }

  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    later(() => this.read(descriptor, [view], offset), done);
  }

  close(descriptor: number): void {
    const { inode } = this.#file(descriptor);
    this.#open.delete(descriptor);
    this.#tree.unuse(inode);
  }

  // ---- FileChanges

  keepsSetId(): boolean {
    return true;
  }

  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    const made = this.#tree.add(this.#get(directory), keyOf(name), S_IFREG | (mode & MODE_BITS));
    return { descriptor: this.#openInode(made, flags), inode: this.#hold(made), stat: made.stat };
  }

  write(descriptor: number, views: readonly Uint8Array[], offset: number): number {
    const { inode, flags } = this.#file(descriptor);
    if ((flags & FUSE_O_ACCMODE) === FUSE_O_RDONLY) throw failure("EBADF", "write");
    return this.#tree.write(inode, views, (flags & FUSE_O_APPEND) === 0 ? offset : inode.size);
  }

  writeLater(
    descriptor: number,
    view: Uint8Array,
    offset: number,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    later(() => this.write(descriptor, [view], offset), done);
  }

  truncate(descriptor: number, size: number): void {
    const { inode, flags } = this.#file(descriptor);
    if ((flags & FUSE_O_ACCMODE) === FUSE_O_RDONLY) throw failure("EINVAL", "truncate");
    this.#tree.setSize(inode, size);
  }

  resize(inode: number, size: number): void {
    this.#tree.setSize(this.#get(inode), size);
  }

  chmod(inode: number, mode: number): void {
    const found = this.#get(inode);
    if (found.isLink) throw failure("ENOTSUP", "chmod");
    found.mode = (found.mode & ~MODE_BITS) | (mode & MODE_BITS);
    found.ctimeNs = this.#tree.now();
  }

  chown(inode: number, uid: number, gid: number): void {
    const found = this.#get(inode);
    if (uid >= 0) found.uid = uid;
    if (gid >= 0) found.gid = gid;
    found.ctimeNs = this.#tree.now();
  }

  setTimes(inode: number, atime: FileTime, mtime: FileTime): void {
    const found = this.#get(inode);
    const now = this.#tree.now();
    found.atimeNs = atime === "now" ? now : (atime ?? found.atimeNs);
    found.mtimeNs = mtime === "now" ? now : (mtime ?? found.mtimeNs);
    found.ctimeNs = now;
  }

  makeDirectory(directory: number, name: Uint8Array, mode: number): void {
    this.#tree.add(this.#get(directory), keyOf(name), S_IFDIR | (mode & MODE_BITS));
  }

  symlink(directory: number, name: Uint8Array, target: Uint8Array): void {
    const made = this.#tree.add(this.#get(directory), keyOf(name), S_IFLNK | 0o777);
    this.#tree.write(made, [target], 0);
  }

  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    const found = this.#child(from, name);
    if (found.isDirectory) throw failure("EPERM", "link of a directory");
    this.#tree.enter(this.#get(to), keyOf(newName), found);
  }

  unlink(directory: number, name: Uint8Array): void {
    const found = this.#child(directory, name);
    if (found.isDirectory) throw failure("EISDIR", "unlink");
    this.#tree.unlink(this.#get(directory), keyOf(name), found);
  }

  removeDirectory(directory: number, name: Uint8Array): void {
    const found = this.#child(directory, name);
    if (entriesOf(found).size > 0) throw failure("ENOTEMPTY", "rmdir");
    this.#tree.unlink(this.#get(directory), keyOf(name), found);
  }

  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    this.#tree.move(this.#get(from), keyOf(name), this.#get(to), keyOf(newName));
  }

  sync(descriptor: number, _dataOnly: boolean, done: (error: Error | null) => void): void {
    later(() => void this.#file(descriptor), done);
  }

  syncDirectory(inode: number, done: (error: Error | null) => void): void {
    later(() => void this.#get(inode), done);
  }

  // ---- inside

  #get(inode: number): Inode {
    const found = this.#held.get(inode);
    if (found === undefined) throw failure("EBADF", `inode ${inode}`);
    return found;
  }

  #file(descriptor: number): OpenFile {
    const found = this.#open.get(descriptor);
    if (found === undefined) throw failure("EBADF", `descriptor ${descriptor}`);
    return found;
  }

  #child(directory: number, name: Uint8Array): Inode {
    return childOf(this.#get(directory), keyOf(name));
  }

  #hold(inode: Inode): number {
    inode.uses++;
    this.#held.set(this.#nextHold, inode);
    return this.#nextHold++;
  }

  #openInode(inode: Inode, flags: number): number {
    if (this.#open.size >= DESCRIPTORS_MAX) throw failure("EMFILE", "open");
    inode.uses++;
    this.#open.set(this.#nextDescriptor, { inode, flags });
    return this.#nextDescriptor++;
  }
}

/** Calls back after this turn, as a thread pool would. */
function later<T>(call: () => T, done: (error: Error | null, result: T) => void): void {
  void Promise.resolve().then(() => {
    let result: T;
    try {
      result = call();
    } catch (error) {
      done(error as Error, undefined as T);
      return;
    }
    done(null, result);
  });
}
