// Files where there is no /proc: an inode is a path and the identity found there. Every use checks
// the identity, but between the check and the use a program of the host may swap a directory above
// for a symbolic link, so this is safe against the guest alone. Linux has ProcFiles.
import * as fs from "node:fs";
import type { FileStat, FileSystemStat, Files } from "../../files.ts";
import { readAt } from "./read-at.ts";

const BIGINT = { bigint: true } as const;
const STAT = { bigint: true, throwIfNoEntry: false } as const;
const { O_NOFOLLOW = 0, O_NONBLOCK = 0, O_RDONLY } = fs.constants;

interface Held {
  path: Buffer;
  readonly dev: bigint;
  readonly ino: bigint;
}

export class PathFiles implements Files {
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

  open(inode: number): number {
    const held = this.#get(inode);
    const descriptor = fs.openSync(this.#current(inode), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stat = fs.fstatSync(descriptor, BIGINT);
    if (stat.ino === held.ino && stat.dev === held.dev) return descriptor;
    fs.closeSync(descriptor);
    throw fault("ESTALE", `inode ${inode}`);
  }

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    return readAt(descriptor, views, offset);
  }

  close(descriptor: number): void {
    fs.closeSync(descriptor);
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
