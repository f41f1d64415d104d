// A directory of the host that exists in memory only, and does not change: files, and directories
// one level deep.
import { constants } from "node:os";
import type { DirectoryName, FileStat, FileSystemStat, Files } from "../../host/ports/files.ts";

const S_IFDIR = 0o040755n;
const S_IFREG = 0o100644n;
const ROOT = 1;

export interface SimulatedFile {
  readonly content: Uint8Array;
  readonly mtimeNs: bigint;
  /** Opening it fails. */
  readonly fails?: "EACCES" | "EIO";
}

interface Inode {
  readonly names: Map<string, number> | null;
  readonly file: SimulatedFile | null;
}

function failure(code: "ENOENT" | "ENOTDIR" | "EACCES" | "EIO" | "EINVAL"): Error {
  const errno = -constants.errno[code];
  return Object.assign(new Error(`${code}: simulated`), { code, errno });
}

export class SimulatedFiles implements Files {
  /** Holds of inodes and open descriptors, for a test that wants them back. */
  held = 0;
  opened = 0;
  readonly #inodes: Inode[] = [
    { names: null, file: null },
    { names: new Map(), file: null },
  ];

  constructor(files: ReadonlyMap<string, SimulatedFile>) {
    for (const [path, file] of files) {
      const parts = path.split("/").filter((part) => part !== "");
      const name = parts.pop() as string;
      const folder = parts.reduce((at, part) => this.#folder(at, part), ROOT);
      this.#add(folder, name, { names: null, file });
    }
  }

  descriptorsMax(): number {
    return 1024;
  }
  root(): number {
    return ROOT;
  }
  peek(directory: number, name: Uint8Array): FileStat | null {
    const inode = this.#namesOf(directory).get(Buffer.from(name).toString());
    return inode === undefined ? null : this.stat(inode);
  }
  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    const inode = this.#namesOf(directory).get(Buffer.from(name).toString());
    if (inode === undefined) throw failure("ENOENT");
    this.held++;
    return { inode, stat: this.stat(inode) };
  }
  drop(inode: number): void {
    if (inode !== ROOT) this.held--;
  }
  stat(inode: number): FileStat {
    const { file } = this.#at(inode);
    const time = file?.mtimeNs ?? 0n;
    const size = BigInt(file?.content.length ?? 0);
    return {
      dev: 1n,
      ino: BigInt(inode),
      mode: file === null ? S_IFDIR : S_IFREG,
      nlink: 1n,
      uid: 0n,
      gid: 0n,
      rdev: 0n,
      size,
      blksize: 4096n,
      blocks: (size + 511n) / 512n,
      atimeNs: time,
      mtimeNs: time,
      ctimeNs: time,
    };
  }
  access(): void {}
  statfs(): FileSystemStat {
    return { bsize: 4096n, blocks: 1n, bfree: 0n, bavail: 0n, files: 1n, ffree: 0n };
  }
  readlink(): Uint8Array {
    throw failure("EINVAL");
  }
  list(directory: number): DirectoryName[] {
    return [...this.#namesOf(directory).keys()].map((name) => ({
      name: Buffer.from(name),
      type: 0,
    }));
  }
  open(inode: number): number {
    const { file } = this.#at(inode);
    if (file?.fails !== undefined) throw failure(file.fails);
    this.opened++;
    return inode;
  }
  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    const content = this.#at(descriptor).file?.content ?? new Uint8Array(0);
    let at = Number(offset);
    for (const view of views) {
      const piece = content.subarray(at, at + view.length);
      view.set(piece);
      at += piece.length;
    }
    return Math.max(0, at - Number(offset));
  }
  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    done(null, this.read(descriptor, [view], offset));
  }
  close(): void {
    this.opened--;
  }

  #at(inode: number): Inode {
    const found = this.#inodes[inode];
    if (found === undefined) throw failure("ENOENT");
    return found;
  }

  #namesOf(directory: number): Map<string, number> {
    const { names } = this.#at(directory);
    if (names === null) throw failure("ENOTDIR");
    return names;
  }

  #folder(at: number, name: string): number {
    const known = this.#namesOf(at).get(name);
    return known ?? this.#add(at, name, { names: new Map(), file: null });
  }

  #add(folder: number, name: string, inode: Inode): number {
    const number = this.#inodes.push(inode) - 1;
    this.#namesOf(folder).set(name, number);
    return number;
  }
}
