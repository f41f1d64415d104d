// Files where there is no /proc: an inode is a path and the identity found there. Every use checks
// the identity, but between the check and the use a program of the host may swap a directory above
// for a symbolic link, so this is safe against the guest alone. Linux has ProcFiles.
import * as fs from "node:fs";
import type { FileChanges, FileStat, FileSystemStat, Files, FileTime } from "../../files.ts";
import { hostFlags } from "./host-flags.ts";
import { readAt } from "./read-at.ts";
import { timesOf, writeAt } from "./write-at.ts";

const BIGINT = { bigint: true } as const;
const STAT = { bigint: true, throwIfNoEntry: false } as const;
const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY } = fs.constants;

interface Held {
  path: Buffer;
  readonly dev: bigint;
  readonly ino: bigint;
}

export class PathFiles implements Files, FileChanges {
  readonly #held = new Map<number, Held>();
  readonly #numbers = new Map<string, number>(); // by identity: one number for each inode
  #next = 1;

  descriptorsMax(): number {
    return 1024;
  }

  root(path: string): number {
    const real = Buffer.from(fs.realpathSync(path));
    const stat = fs.statSync(real, BIGINT);
    if (!stat.isDirectory()) throw fault("ENOTDIR", path);
    return this.#add(real, stat);
  }

  peek(directory: number, name: Uint8Array): FileStat | null {
    const path = this.#child(directory, name);
    const stat = fs.lstatSync(path, STAT);
    if (stat === undefined) return null;
    // A held inode that was moved is found again where it is now.
    const held = this.#held.get(this.#numbers.get(identity(stat)) ?? 0);
    if (held !== undefined) held.path = path;
    return stat;
  }

  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    const path = this.#child(directory, name);
    const stat = fs.lstatSync(path, BIGINT);
    return { inode: this.#add(path, stat), stat };
  }

  drop(inode: number): void {
    const held = this.#get(inode);
    this.#held.delete(inode);
    if (this.#numbers.get(identity(held)) === inode) this.#numbers.delete(identity(held));
  }

  stat(inode: number): FileStat {
    const held = this.#get(inode);
    const stat = fs.lstatSync(held.path, BIGINT);
    if (stat.ino !== held.ino || stat.dev !== held.dev) throw fault("ESTALE", `inode ${inode}`);
    return stat;
  }

  access(inode: number, mask: number): void {
    fs.accessSync(this.#current(inode), mask);
  }

  statfs(inode: number): FileSystemStat {
    return fs.statfsSync(this.#current(inode), BIGINT);
  }

  readlink(directory: number, name: Uint8Array): Uint8Array {
    return fs.readlinkSync(this.#child(directory, name), "buffer");
  }

  list(directory: number): Uint8Array[] {
    return fs.readdirSync(this.#current(directory), "buffer");
  }

  open(inode: number, flags: number): number {
    const held = this.#get(inode);
    const how = hostFlags(flags) | O_NOFOLLOW | O_NONBLOCK;
    const descriptor = fs.openSync(this.#current(inode), how);
    const stat = fs.fstatSync(descriptor, BIGINT);
    if (stat.ino === held.ino && stat.dev === held.dev) return descriptor;
    fs.closeSync(descriptor);
    throw fault("ESTALE", `inode ${inode}`);
  }

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    return readAt(descriptor, views, offset);
  }

  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    fs.read(descriptor, view, 0, view.length, offset, done);
  }

  close(descriptor: number): void {
    fs.closeSync(descriptor);
  }

  // ---- changes

  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    const path = this.#child(directory, name);
    const how = hostFlags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW;
    const descriptor = fs.openSync(path, how, mode);
    const stat = fs.fstatSync(descriptor, BIGINT);
    return { descriptor, inode: this.#add(path, stat), stat };
  }

  write(descriptor: number, views: readonly Uint8Array[], offset: number): number {
    return writeAt(descriptor, views, offset);
  }

  writeLater(
    descriptor: number,
    view: Uint8Array,
    offset: number,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    fs.write(descriptor, view, 0, view.length, offset, done);
  }

  truncate(descriptor: number, size: number): void {
    fs.ftruncateSync(descriptor, size);
  }

  resize(inode: number, size: number): void {
    fs.truncateSync(this.#current(inode), size);
  }

  chmod(inode: number, mode: number): void {
    if (fs.lstatSync(this.#current(inode)).isSymbolicLink()) throw fault("ENOTSUP", "chmod");
    fs.chmodSync(this.#current(inode), mode);
  }

  chown(inode: number, uid: number, gid: number): void {
    fs.lchownSync(this.#current(inode), uid, gid);
  }

  setTimes(inode: number, atime: FileTime, mtime: FileTime): void {
    fs.lutimesSync(this.#current(inode), ...timesOf(atime, mtime, () => this.stat(inode)));
  }

  makeDirectory(directory: number, name: Uint8Array, mode: number): void {
    fs.mkdirSync(this.#child(directory, name), mode);
  }

  symlink(directory: number, name: Uint8Array, target: Uint8Array): void {
    fs.symlinkSync(Buffer.from(target), this.#child(directory, name));
  }

  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    fs.linkSync(this.#child(from, name), this.#child(to, newName));
  }

  unlink(directory: number, name: Uint8Array): void {
    fs.unlinkSync(this.#child(directory, name));
  }

  removeDirectory(directory: number, name: Uint8Array): void {
    fs.rmdirSync(this.#child(directory, name));
  }

  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    fs.renameSync(this.#child(from, name), this.#child(to, newName));
    this.peek(to, newName); // it is found there from now on
  }

  sync(descriptor: number, dataOnly: boolean, done: (error: Error | null) => void): void {
    if (dataOnly) fs.fdatasync(descriptor, done);
    else fs.fsync(descriptor, done);
  }

  syncDirectory(inode: number, done: (error: Error | null) => void): void {
    const descriptor = fs.openSync(this.#current(inode), O_RDONLY);
    fs.fsync(descriptor, (error) => {
      fs.closeSync(descriptor);
      done(error);
    });
  }

  #add(path: Buffer, stat: FileStat): number {
    const inode = this.#next++;
    this.#held.set(inode, { path, dev: stat.dev, ino: stat.ino });
    this.#numbers.set(identity(stat), inode);
    return inode;
  }

  #get(inode: number): Held {
    const held = this.#held.get(inode);
    if (held === undefined) throw fault("EBADF", `inode ${inode}`);
    return held;
  }

  /** The inode's path, after a look that it is still there. */
  #current(inode: number): Buffer {
    this.stat(inode);
    return this.#get(inode).path;
  }

  #child(directory: number, name: Uint8Array): Buffer {
    // On Windows these two lead to other places; no entry has them in its name there.
    if (process.platform === "win32" && (name.includes(0x5c) || name.includes(0x3a))) {
      throw fault("ENOENT", Buffer.from(name).toString());
    }
    return Buffer.concat([this.#current(directory), Buffer.from("/"), name]);
  }
}

function identity({ dev, ino }: { dev: bigint; ino: bigint }): string {
  return `${dev}:${ino}`;
}

function fault(code: string, subject: string): Error {
  return Object.assign(new Error(`${code}: ${subject}`), { code });
}
