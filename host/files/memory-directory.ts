// A directory in memory as a port for devices that only read. Its owner puts files there;
// memory-files.ts adds what else owners and guests may change.
import { FUSE_O_ACCMODE, FUSE_O_WRONLY } from "../../abi/fuse.ts";
import type { Clock } from "../ports/clock.ts";
import type { DirectoryName, FileStat, FileSystemStat, Files } from "../ports/files.ts";
import { type Inode, S_IFDIR, S_IFREG } from "./memory-inode.ts";
import { bytesOf, failure, keyOf, keysOf } from "./memory-names.ts";
import { childOf, entriesOf, INODES_MAX, MemoryTree } from "./memory-tree.ts";

const BLOCK_BYTES = 4096;
const BYTES_MAX = 256 * 1024 * 1024;
/** Descriptors that may be open. */
const DESCRIPTORS_MAX = 1024;
const X_BITS = 0o111;
const X_OK = 1;

/** A descriptor's file. */
export interface OpenFile {
  readonly inode: Inode;
  readonly flags: number;
}

/** Files that a guest can read. */
export class MemoryDirectory implements Files {
  protected readonly tree: MemoryTree;
  readonly #held = new Map<number, Inode>();
  readonly #open = new Map<number, OpenFile>();
  #nextHold = 1;
  #nextDescriptor = 1;

  /** Times are those of `clock`. `bytesMax` bounds the contents of all files. */
  constructor(clock: Pick<Clock, "realtime">, bytesMax = BYTES_MAX) {
    this.tree = new MemoryTree(clock, bytesMax);
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
    let directory = this.tree.root;
    for (const key of keys) {
      directory = entriesOf(directory).get(key) ?? this.tree.add(directory, key, S_IFDIR | 0o755);
    }
    const file = entriesOf(directory).get(name) ?? this.tree.add(directory, name, S_IFREG | 0o644);
    if (file.isDirectory) throw failure("EISDIR", path);
    if (file.isLink) throw failure("ELOOP", path);
    this.tree.setSize(file, 0);
    this.tree.write(file, [bytes], 0);
  }

  // ---- Files

  descriptorsMax(): number {
    return DESCRIPTORS_MAX;
  }

  root(path: string): number {
    const found = this.tree.find(keysOf(path));
    if (found === null) throw failure("ENOENT", path);
    entriesOf(found);
    return this.holdInode(found);
  }

  peek(directory: number, name: Uint8Array): FileStat | null {
    return entriesOf(this.inodeOf(directory)).get(keyOf(name))?.stat ?? null;
  }

  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    const found = this.child(directory, name);
    return { inode: this.holdInode(found), stat: found.stat };
  }

  drop(inode: number): void {
    const found = this.inodeOf(inode);
    this.#held.delete(inode);
    this.tree.unuse(found);
  }

  stat(inode: number): FileStat {
    return this.inodeOf(inode).stat;
  }

  access(inode: number, mask: number): void {
    const { mode, isDirectory, isLink } = this.inodeOf(inode);
    if ((mask & X_OK) === 0 || isDirectory || isLink || (mode & X_BITS) !== 0) return;
    throw failure("EACCES", `inode ${inode}`);
  }

  statfs(inode: number): FileSystemStat {
    this.inodeOf(inode);
    const { bytes, bytesMax, inodes } = this.tree;
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
    const found = this.child(directory, name);
    if (!found.isLink) throw failure("EINVAL", "readlink");
    return found.content.slice();
  }

  list(directory: number, max: number): DirectoryName[] {
    const entries = entriesOf(this.inodeOf(directory));
    if (entries.size > max) throw failure("ENOMEM", `${entries.size} names`);
    return [...entries].map(([name, inode]) => ({ name: bytesOf(name), type: inode.mode >> 12 }));
  }

  open(inode: number, flags: number): number {
    return this.openInode(this.inodeOf(inode), flags);
  }

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    const { inode, flags } = this.fileOf(descriptor);
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
    const { inode } = this.fileOf(descriptor);
    this.#open.delete(descriptor);
    this.tree.unuse(inode);
  }

  // ---- inside

  protected inodeOf(inode: number): Inode {
    const found = this.#held.get(inode);
    if (found === undefined) throw failure("EBADF", `inode ${inode}`);
    return found;
  }

  protected fileOf(descriptor: number): OpenFile {
    const found = this.#open.get(descriptor);
    if (found === undefined) throw failure("EBADF", `descriptor ${descriptor}`);
    return found;
  }

  protected child(directory: number, name: Uint8Array): Inode {
    return childOf(this.inodeOf(directory), keyOf(name));
  }

  protected holdInode(inode: Inode): number {
    inode.uses++;
    this.#held.set(this.#nextHold, inode);
    return this.#nextHold++;
  }

  protected openInode(inode: Inode, flags: number): number {
    if (this.#open.size >= DESCRIPTORS_MAX) throw failure("EMFILE", "open");
    inode.uses++;
    this.#open.set(this.#nextDescriptor, { inode, flags });
    return this.#nextDescriptor++;
  }
}

/** Calls back after this turn, as a thread pool would. */
export function later<T>(call: () => T, done: (error: Error | null, result: T) => void): void {
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
