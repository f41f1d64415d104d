// An inode of MemoryFiles: a file with its bytes, a directory with its names, or a symbolic link.
import type { FileStat } from "../ports/files.ts";

export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
const S_IFMT = 0o170000;
const BLOCK_BYTES = 4096n;
const SECTOR_BYTES = 512n;
const GROWTH_BYTES_MIN = 256;
const NOTHING = new Uint8Array(0);

export class Inode {
  readonly number: number;
  /** Type and permission bits. */
  mode: number;
  /** Names that lead to it; for a directory also its "." and the ".." of those in it. */
  links = 0;
  /** Held inodes and open descriptors. */
  uses = 0;
  uid = 0;
  gid = 0;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
  /** Of a directory: what is at each name, which has a character for each byte. */
  readonly entries: Map<string, Inode> | null;
  /** Of a directory; null: the root, or removed. */
  parent: Inode | null = null;
  readonly #bornNs: bigint;
  /** Of a file, or the text of a link; the first #size bytes are in use. */
  #bytes: Uint8Array = NOTHING;
  #size = 0;

  constructor(number: number, mode: number, nowNs: bigint) {
    this.number = number;
    this.mode = mode;
    this.entries = (mode & S_IFMT) === S_IFDIR ? new Map() : null;
    this.#bornNs = this.atimeNs = this.mtimeNs = this.ctimeNs = nowNs;
  }

  get isDirectory(): boolean {
    return this.entries !== null;
  }

  get isLink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of memory that its content takes. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** The content. It is valid until the next write. */
  get content(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  get stat(): FileStat {
    const size = BigInt(this.#size);
    return {
      dev: 1n,
      ino: BigInt(this.number),
      mode: BigInt(this.mode),
      nlink: BigInt(this.links),
      uid: BigInt(this.uid),
      gid: BigInt(this.gid),
      rdev: 0n,
      size,
      blksize: BLOCK_BYTES,
      blocks: (size + SECTOR_BYTES - 1n) / SECTOR_BYTES,
      atimeNs: this.atimeNs,
      mtimeNs: this.mtimeNs,
      ctimeNs: this.ctimeNs,
      birthtimeNs: this.#bornNs,
    };
  }

  /** Fills the views from `offset` on; returns the bytes read. */
  read(views: readonly Uint8Array[], offset: number): number {
    let at = offset;
    for (const view of views) {
      const part = this.#bytes.subarray(
        Math.min(at, this.#size),
        Math.min(at + view.length, this.#size),
      );
      view.set(part);
      at += part.length;
      if (part.length < view.length) break;
    }
    return at - offset;
  }

  /** The capacity after a change of the size to at least `size`: it grows by half, or more. */
  capacityFor(size: number): number {
    const { length } = this.#bytes;
    return size <= length ? length : Math.max(size, GROWTH_BYTES_MIN, length + (length >> 1));
  }

  /** Writes the views from `offset` on; returns the bytes written. */
  write(views: readonly Uint8Array[], offset: number): number {
    let at = offset;
    for (const view of views) {
      this.#reserve(at + view.length);
      this.#bytes.set(view, at);
      at += view.length;
    }
    return at - offset;
  }

  /** Cuts the content, or extends it with zeros. */
  resize(size: number): void {
    if (size < this.#size) this.#bytes.fill(0, size, this.#size);
    if (size === 0) this.#bytes = NOTHING;
    this.#size = Math.min(this.#size, size);
    this.#reserve(size);
  }

  #reserve(size: number): void {
    const capacity = this.capacityFor(size);
    if (capacity > this.#bytes.length) {
      const larger = new Uint8Array(capacity);
      larger.set(this.content);
      this.#bytes = larger;
    }
    this.#size = Math.max(this.#size, size);
  }
}
