// Files on Linux. An inode is an O_PATH descriptor N; its entries are reached as /proc/<this
// process>/fd/N/name, which no symbolic link can redirect: N is an inode, not a path.
import * as fs from "node:fs";
import type {
  DirectoryName,
  FileChanges,
  FileStat,
  FileSystemStat,
  Files,
  FileTime,
  LaterCall,
  LaterDone,
} from "../../ports/files.ts";
import { hostFlags } from "./host-flags.ts";
import { laterCalls } from "./later-files.ts";
import { listNames } from "./list-names.ts";
import { OpenFiles, removeMade } from "./open-files.ts";
import { timesOf } from "./times.ts";

const O_PATH = 0o10000000;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
const STAT = { bigint: true, throwIfNoEntry: false } as const;

export class ProcFiles extends OpenFiles implements Files, FileChanges {
  /** /proc/self resolved once: following the link costs a fifth of a lookup. */
  readonly #descriptors = `/proc/${fs.readlinkSync("/proc/self")}/fd/`;

  readonly #later = laterCalls(this.#descriptors);

  later(call: LaterCall, args: readonly unknown[], done: LaterDone): void {
    const twin = this.#later[call] as (...args: readonly unknown[]) => Promise<unknown>;
    this.threads.run((end) => {
      const ended = (error: Error | null, result?: unknown) => {
        end();
        done(error, result);
      };
      twin(...args).then((result) => ended(null, result), ended);
    });
  }

  descriptorsMax(): number {
    const match = /^Max open files +(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"));
    const most = match === null ? 1024 : Number(match[1]);
    return Math.max(0, most - fs.readdirSync("/proc/self/fd").length);
  }

  root(path: string): number {
    return fs.openSync(path, O_PATH | O_DIRECTORY);
  }

  peek(directory: number, name: Uint8Array): FileStat | null {
    return fs.lstatSync(this.#child(directory, name), STAT) ?? null;
  }

  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    // O_PATH opens anything without side effects: a FIFO does not block, a device is not activated.
    const inode = fs.openSync(this.#child(directory, name), O_PATH | O_NOFOLLOW);
    try {
      return { inode, stat: this.stat(inode) };
    } catch (error) {
      fs.closeSync(inode);
      throw error;
    }
  }

  openAt(directory: number, name: Uint8Array): { descriptor: number; stat: FileStat } {
    const how = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const descriptor = fs.openSync(this.#child(directory, name), how);
    try {
      return { descriptor, stat: this.stat(descriptor) };
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  holdOpen(descriptor: number): number {
    return fs.openSync(this.#self(descriptor), O_PATH);
  }

  drop(inode: number): void {
    fs.closeSync(inode);
  }

  stat(inode: number): FileStat {
    return fs.fstatSync(inode, { bigint: true });
  }

  access(inode: number, mask: number): void {
    fs.accessSync(this.#self(inode), mask);
  }

  statfs(inode: number): FileSystemStat {
    return fs.statfsSync(this.#self(inode), { bigint: true });
  }

  readlink(directory: number, name: Uint8Array): Uint8Array {
    return fs.readlinkSync(this.#child(directory, name), "buffer");
  }

  list(directory: number, max: number): DirectoryName[] {
    return listNames(this.#self(directory), max);
  }

  open(inode: number, flags: number): number {
    // O_NONBLOCK: do not wait for a process that has a lease on the file.
    return fs.openSync(this.#self(inode), hostFlags(flags) | O_NONBLOCK | O_NOCTTY);
  }

  // ---- changes

  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    const how = hostFlags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW;
    const descriptor = fs.openSync(this.#child(directory, name), how, mode);
    let inode = -1;
    try {
      inode = fs.openSync(this.#self(descriptor), O_PATH);
      return { descriptor, inode, stat: this.stat(inode) };
    } catch (error) {
      if (inode >= 0) fs.closeSync(inode);
      removeMade(descriptor, this.#child(directory, name));
      throw error;
    }
  }

  chmod(inode: number, mode: number): void {
    fs.chmodSync(this.#self(inode), mode);
  }

  /** A path through /proc ends at the inode, even if that is a symbolic link. */
  chown(inode: number, uid: number, gid: number): void {
    fs.chownSync(this.#self(inode), uid, gid);
  }

  setTimes(inode: number, atime: FileTime, mtime: FileTime): void {
    fs.utimesSync(this.#self(inode), ...timesOf(atime, mtime, () => this.stat(inode)));
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
  }

  protected openDirectory(inode: number): number {
    return fs.openSync(this.#self(inode), O_RDONLY | O_DIRECTORY);
  }

  #self(inode: number): string {
    return this.#descriptors + inode;
  }

  /** As bytes: a name need not be UTF-8. */
  #child(directory: number, name: Uint8Array): Buffer {
    const prefix = `${this.#descriptors}${directory}/`;
    const path = Buffer.allocUnsafe(prefix.length + name.length);
    path.write(prefix, "latin1");
    path.set(name, prefix.length);
    return path;
  }
}
