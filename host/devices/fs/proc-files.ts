// Files on Linux. An inode is an O_PATH descriptor N; its entries are reached as
// /proc/<this process>/fd/N/name, which cannot be led astray: N is an inode, not a path.
import * as fs from "node:fs";
import type { FileStat, FileSystemStat, Files } from "../../files.ts";
import { readAt } from "./read-at.ts";

const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
const STAT = { bigint: true, throwIfNoEntry: false } as const;

export class ProcFiles implements Files {
  /** What /proc/self is, read once: following the link costs a fifth of a lookup. */
  readonly #descriptors = `/proc/${fs.readlinkSync("/proc/self")}/fd/`;

  descriptorsMax(): number {
    const match = /^Max open files +(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"));
    return match === null ? 1024 : Number(match[1]);
  }

  root(path: string): number {
    return fs.openSync(path, O_PATH | O_DIRECTORY);
  }

  peek(directory: number, name: Uint8Array): FileStat | null {
    return fs.lstatSync(this.#child(directory, name), STAT) ?? null;
  }

  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    // O_PATH opens anything without touching it: a FIFO does not block, a device does not act.
    const inode = fs.openSync(this.#child(directory, name), O_PATH | O_NOFOLLOW);
    try {
      return { inode, stat: this.stat(inode) };
    } catch (error) {
      fs.closeSync(inode);
      throw error;
    }
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

  list(directory: number): Uint8Array[] {
    return fs.readdirSync(this.#self(directory), "buffer");
  }

  open(inode: number): number {
    return fs.openSync(this.#self(inode), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  }

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    return readAt(descriptor, views, offset);
  }

  close(descriptor: number): void {
    fs.closeSync(descriptor);
  }

  #self(inode: number): string {
    return this.#descriptors + inode;
  }

  /** Bytes, because a name need not be UTF-8. */
  #child(directory: number, name: Uint8Array): Buffer {
    return Buffer.concat([Buffer.from(`${this.#descriptors}${directory}/`, "latin1"), name]);
  }
}
