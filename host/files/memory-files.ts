// A directory that exists in memory only: a port for devices, with calls of its own for the
// embedder, who puts files there before, while or after the guest uses it.
import { FUSE_O_ACCMODE, FUSE_O_APPEND, FUSE_O_RDONLY } from "../../abi/fuse.ts";
import type { Clock } from "../ports/clock.ts";
import type { FileChanges, FileTime } from "../ports/files.ts";
import { later, MemoryDirectory } from "./memory-directory.ts";
import { type Inode, S_IFDIR, S_IFLNK, S_IFREG } from "./memory-inode.ts";
import { below, move, unlink } from "./memory-moves.ts";
import { failure, keyOf, keysOf } from "./memory-names.ts";
import { entriesOf } from "./memory-tree.ts";

const MODE_BITS = 0o7777;

/** Options of MemoryFiles. */
export interface MemoryFilesOptions {
  /** Memory for the contents of all files; a write beyond it is ENOSPC. Default: 256 MiB. */
  readonly bytesMax?: number;
}

export class MemoryFiles extends MemoryDirectory implements FileChanges {
  /** `files` by path, with their contents; text becomes UTF-8. Times are those of `clock`. */
  constructor(
    clock: Pick<Clock, "realtime">,
    files: Readonly<Record<string, string | Uint8Array>> = {},
    options: MemoryFilesOptions = {},
  ) {
    super(clock, options.bytesMax);
    for (const [path, content] of Object.entries(files)) this.writeFile(path, content);
  }

  // ---- for the embedder

  /** A copy of a file's content, or null if there is no file. */
  readFile(path: string): Uint8Array | null {
    const found = this.tree.find(keysOf(path));
    return found === null || found.isDirectory ? null : found.content.slice();
  }

  /** Removes a file, or a directory and all that is in it. False: there is none. */
  remove(path: string): boolean {
    const keys = keysOf(path);
    const name = keys.pop();
    const directory = this.tree.find(keys);
    const found = name === undefined ? undefined : directory?.entries?.get(name);
    if (found === undefined) return false;
    for (const one of below(found).reverse()) {
      unlink(this.tree, one.directory, one.name, one.inode);
    }
    unlink(this.tree, directory as Inode, name as string, found);
    return true;
  }

  /** Paths of all files and links, without a slash in front. */
  paths(): string[] {
    const entries = below(this.tree.root).filter(({ inode }) => !inode.isDirectory);
    return entries.map(({ path }) => path);
  }

  // ---- FileChanges

  keepsSetId(): boolean {
    return true;
  }

  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    const made = this.tree.add(this.inodeOf(directory), keyOf(name), S_IFREG | (mode & MODE_BITS));
    return {
      descriptor: this.openInode(made, flags),
      inode: this.holdInode(made),
      stat: made.stat,
    };
  }

  write(descriptor: number, views: readonly Uint8Array[], offset: number): number {
    const { inode, flags } = this.fileOf(descriptor);
    if ((flags & FUSE_O_ACCMODE) === FUSE_O_RDONLY) throw failure("EBADF", "write");
    return this.tree.write(inode, views, (flags & FUSE_O_APPEND) === 0 ? offset : inode.size);
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
    const { inode, flags } = this.fileOf(descriptor);
    if ((flags & FUSE_O_ACCMODE) === FUSE_O_RDONLY) throw failure("EINVAL", "truncate");
    this.tree.setSize(inode, size);
  }

  resize(inode: number, size: number): void {
    this.tree.setSize(this.inodeOf(inode), size);
  }

  chmod(inode: number, mode: number): void {
    const found = this.inodeOf(inode);
    if (found.isLink) throw failure("ENOTSUP", "chmod");
    found.mode = (found.mode & ~MODE_BITS) | (mode & MODE_BITS);
    found.ctimeNs = this.tree.now();
  }

  chown(inode: number, uid: number, gid: number): void {
    const found = this.inodeOf(inode);
    if (uid >= 0) found.uid = uid;
    if (gid >= 0) found.gid = gid;
    found.ctimeNs = this.tree.now();
  }

  setTimes(inode: number, atime: FileTime, mtime: FileTime): void {
    const found = this.inodeOf(inode);
    const now = this.tree.now();
    found.atimeNs = atime === "now" ? now : (atime ?? found.atimeNs);
    found.mtimeNs = mtime === "now" ? now : (mtime ?? found.mtimeNs);
    found.ctimeNs = now;
  }

  makeDirectory(directory: number, name: Uint8Array, mode: number): void {
    this.tree.add(this.inodeOf(directory), keyOf(name), S_IFDIR | (mode & MODE_BITS));
  }

  symlink(directory: number, name: Uint8Array, target: Uint8Array): void {
    const made = this.tree.add(this.inodeOf(directory), keyOf(name), S_IFLNK | 0o777);
    this.tree.write(made, [target], 0);
  }

  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    const found = this.child(from, name);
    if (found.isDirectory) throw failure("EPERM", "link of a directory");
    this.tree.enter(this.inodeOf(to), keyOf(newName), found);
  }

  unlink(directory: number, name: Uint8Array): void {
    const found = this.child(directory, name);
    if (found.isDirectory) throw failure("EISDIR", "unlink");
    unlink(this.tree, this.inodeOf(directory), keyOf(name), found);
  }

  removeDirectory(directory: number, name: Uint8Array): void {
    const found = this.child(directory, name);
    if (entriesOf(found).size > 0) throw failure("ENOTEMPTY", "rmdir");
    unlink(this.tree, this.inodeOf(directory), keyOf(name), found);
  }

  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    move(this.tree, this.inodeOf(from), keyOf(name), this.inodeOf(to), keyOf(newName));
  }

  sync(descriptor: number, _dataOnly: boolean, done: (error: Error | null) => void): void {
    later(() => void this.fileOf(descriptor), done);
  }

  syncDirectory(inode: number, done: (error: Error | null) => void): void {
    later(() => void this.inodeOf(inode), done);
  }
}
