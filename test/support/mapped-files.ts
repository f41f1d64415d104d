// A model of mapped files: what guest and host must see of them. A file is its
// bytes as the guest's calls have to find them; beside them stands what may still be seen instead,
// where the rules leave it open (SysMapFile, and the README's limits).
import * as fs from "node:fs";

/** Present or earlier bytes of a file from an offset on. */
interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export class MappedFile {
  readonly name: string;
  /** The test's own descriptor: the file may have no name. */
  readonly descriptor: number;
  bytes = Buffer.alloc(0);
  /** Stored over since the device was last asked for this file: it need not have heard of that. */
  #replaced: Piece[] = [];
  /** Stored past the end since then: shown by that mapping alone, and lost. */
  #beyond: Piece[] = [];
  /** Stored since then, and where in memory: twice to one byte is in no order. */
  #stored: { from: number; to: number; address: number }[] = [];

  constructor(name: string, path: string) {
    this.name = name;
    this.descriptor = fs.openSync(path, "r");
    this.bytes = fs.readFileSync(this.descriptor);
  }

  get size(): number {
    return this.bytes.length;
  }

  resize(size: number): void {
    const bytes = Buffer.alloc(size);
    this.bytes.copy(bytes);
    this.bytes = bytes;
  }

  write(at: number, bytes: Uint8Array): void {
    if (at + bytes.length > this.size) this.resize(at + bytes.length);
    this.bytes.set(bytes, at);
  }

  /** Through a mapping, which has the file's byte 0 at `address`; `at` is in the file. */
  store(at: number, bytes: Uint8Array, address: number): void {
    const inside = bytes.subarray(0, Math.max(0, this.size - at));
    this.#replaced.push({ at, bytes: Buffer.from(this.bytes.subarray(at, at + inside.length)) });
    this.#beyond.push({ at: at + inside.length, bytes: bytes.subarray(inside.length) });
    this.#stored.push({ from: at, to: at + bytes.length, address });
    this.bytes.set(inside, Math.min(at, this.size));
  }

  /** Would a store there meet one through another mapping that the device has not heard of? */
  isContested(from: number, to: number, address: number): boolean {
    return this.#stored.some((one) => one.address !== address && one.from < to && from < one.to);
  }

  get isStored(): boolean {
    return this.#stored.length > 0;
  }

  /** The device was asked for the file: what was stored is written, and shown by all mappings. */
  settle(): void {
    this.#replaced = [];
    this.#beyond = [];
    this.#stored = [];
  }

  /**
   * The fault in `seen`, which is the file from `at` on; "" is nothing. `older` is what the
   * file was before a program of the host changed it, for a mapping that was there before.
   */
  fault(seen: Uint8Array, at: number, older: readonly Buffer[] = []): string {
    const wanted = Buffer.alloc(seen.length);
    this.bytes.copy(wanted, 0, Math.min(at, this.size));
    if (Buffer.compare(seen, wanted) === 0) return "";
    for (let i = 0; i < seen.length; i++) {
      if (seen[i] === wanted[i] || this.#isLegal(seen[i] as number, at + i, older)) continue;
      const place = `byte ${at + i} of ${this.size} of ${this.name}`;
      return `${place} is ${seen[i]}, not ${wanted[i]}`;
    }
    return "";
  }

  #isLegal(byte: number, at: number, older: readonly Buffer[]): boolean {
    const has = (piece: Piece) => piece.bytes[at - piece.at] === byte;
    if (older.some((bytes) => (bytes[at] ?? 0) === byte)) return true;
    return at < this.size ? this.#replaced.some(has) : this.#beyond.some(has);
  }

  /** The fault in the file on the host. */
  faultOnHost(): string {
    const seen = Buffer.alloc(fs.fstatSync(this.descriptor).size);
    fs.readSync(this.descriptor, seen, 0, seen.length, 0);
    if (seen.length !== this.size) return `${this.name} has ${seen.length}, not ${this.size} bytes`;
    const fault = this.fault(seen, 0);
    return fault === "" ? "" : `on the host ${fault}`;
  }
}
