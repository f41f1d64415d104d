// Files without /proc: an inode is a path, and the identity found there. Every use checks the
// identity, but between check and use a program of the host may replace a parent directory by a
// symbolic link. So this is safe against the guest only. Linux has ProcFiles.
import * as fs from "node:fs";
import type {
  DirectoryName,
  FileChanges,
  FileStat,
  FileSystemStat,
  Files,
  FileTime,
} from "../../ports/files.ts";
import { hostFlags } from "./host-flags.ts";
import { listNames } from "./list-names.ts";
import { OpenFiles, removeMade } from "./open-files.ts";
import { timesOf } from "./times.ts";

const BIGINT = { bigint: true } as const;
const STAT = { bigint: true, throwIfNoEntry: false } as const;
const S_IFLNK = 0o12n;
const { O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY } = fs.constants;

interface Held {
  path: Buffer;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mode: bigint; // when it was held; the type never changes
}

export class PathFiles extends OpenFiles implements Files, FileChanges {
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
    // A held inode that was moved is known at its new place from now on.
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
    if (identity(stat) !== identity(held)) throw fault("ESTALE", `inode ${inode}`);
    return stat;
  }

  access(inode: number, mask: number): void {
    const path = this.#current(inode);
    if (!this.#isLink(inode)) fs.accessSync(path, mask); // a link grants everything
  }

  statfs(inode: number): FileSystemStat {
    const path = this.#current(inode);
    const end = this.#isLink(inode) ? path.lastIndexOf("/") : path.length;
    return fs.statfsSync(path.subarray(0, end), BIGINT);
  }

  readlink(directory: number, name: Uint8Array): Uint8Array {
    return fs.readlinkSync(this.#child(directory, name), "buffer");
  }

  list(directory: number, max: number): DirectoryName[] {
    return listNames(this.#current(directory), max);
  }

  open(inode: number, flags: number): number {
    const held = this.#get(inode);
    const how = hostFlags(flags) | O_NOFOLLOW | O_NONBLOCK;
    const descriptor = fs.openSync(this.#current(inode), how);
    let kept = false;
    try {
      const stat = fs.fstatSync(descriptor, BIGINT);
      kept = identity(stat) === identity(held);
    } finally {
      if (!kept) fs.closeSync(descriptor);
    }
    if (!kept) throw fault("ESTALE", `inode ${inode}`);
    return descriptor;
  }

  // ---- changes

  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    const path = this.#child(directory, name);
    const how = hostFlags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW;
    const descriptor = fs.openSync(path, how, mode);
    try {
      const stat = fs.fstatSync(descriptor, BIGINT);
      return { descriptor, inode: this.#add(path, stat), stat };
    } catch (error) {
      removeMade(descriptor, path);
      throw error;
    }
  }

  chmod(inode: number, mode: number): void {
    const path = this.#current(inode);
    if (this.#isLink(inode)) throw fault("ENOTSUP", "chmod");
    fs.chmodSync(path, mode);
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
    // Without a type, Node on Windows would examine the target, wherever that is.
    fs.symlinkSync(Buffer.from(target), this.#child(directory, name), "file");
  }

  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    const path = this.#child(from, name);
    // Some hosts follow a symbolic link here, which would import a file from outside.
    if (fs.lstatSync(path).isSymbolicLink()) throw fault("EPERM", "link of a symbolic link");
    fs.linkSync(path, this.#child(to, newName));
  }

  unlink(directory: number, name: Uint8Array): void {
    fs.unlinkSync(this.#child(directory, name));
  }

  removeDirectory(directory: number, name: Uint8Array): void {
    fs.rmdirSync(this.#child(directory, name));
  }

  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    const path = this.#child(from, name);
    const newPath = this.#child(to, newName);
    const stat = fs.lstatSync(path, STAT);
    fs.renameSync(path, newPath);
    const held = stat && this.#held.get(this.#numbers.get(identity(stat)) ?? 0);
    if (held !== undefined) held.path = newPath; // known at its new place from now on
    if (stat?.isDirectory()) this.#movedBelow(path, newPath);
  }

  protected openDirectory(inode: number): number {
    return fs.openSync(this.#current(inode), O_RDONLY);
  }

  #add(path: Buffer, stat: FileStat): number {
    const inode = this.#next++;
    this.#held.set(inode, { path, dev: stat.dev, ino: stat.ino, mode: stat.mode });
    if (!this.#numbers.has(identity(stat))) this.#numbers.set(identity(stat), inode);
    return inode;
  }

  #isLink(inode: number): boolean {
    return typeOf(this.#get(inode)) === S_IFLNK;
  }

  /** A directory was moved, and with it held inodes below it. */
  #movedBelow(path: Buffer, newPath: Buffer): void {
    const prefix = Buffer.concat([path, Buffer.from("/")]);
    for (const held of this.#held.values()) {
      if (Buffer.compare(held.path.subarray(0, prefix.length), prefix) !== 0) continue;
      held.path = Buffer.concat([newPath, held.path.subarray(path.length)]);
    }
  }

  #get(inode: number): Held {
    const held = this.#held.get(inode);
    if (held === undefined) throw fault("EBADF", `inode ${inode}`);
    return held;
  }

  /** The inode's path, after a check that it is still there. */
  #current(inode: number): Buffer {
    this.stat(inode);
    return this.#get(inode).path;
  }

  #child(directory: number, name: Uint8Array): Buffer {
    if (process.platform === "win32" && !isWindowsName(Buffer.from(name).toString("latin1"))) {
      throw fault("ENOENT", Buffer.from(name).toString());
    }
    return Buffer.concat([this.#current(directory), Buffer.from("/"), name]);
  }
}

/** On Windows other names lead elsewhere: to devices, streams, and files with other names. */
export function isWindowsName(name: string): boolean {
  const device = /^(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$) *(\.|$)/i;
  return !/[\\:]|[. ]$/.test(name) && !device.test(name);
}

/** With the type, because inode numbers are reused. */
function identity(stat: { dev: bigint; ino: bigint; mode: bigint }): string {
  return `${stat.dev}:${stat.ino}:${typeOf(stat)}`;
}

function typeOf({ mode }: { mode: bigint }): bigint {
  return mode >> 12n;
}

function fault(code: string, subject: string): Error {
  return Object.assign(new Error(`${code}: ${subject}`), { code });
}
