// One direction between two sockets of this process. It stands in for a kernel's socket buffer, but
// holds little: a small send is copied, a larger one is lent by the sender until it is read.
import { joinBytes } from "../bytes.ts";

/** Sends up to this size are copied if nothing else waits. */
export const TAKEN_BYTES_MAX = 16384;
/** The most that a read returns, as with Node. */
const CHUNK_BYTES_MAX = 65536;

export class Wire {
  #parts: Uint8Array[] = []; // those from #first on wait
  #first = 0;
  #at = 0; // of the first one
  #waiting = 0; // bytes
  #lent = false;

  get empty(): boolean {
    return this.#waiting === 0;
  }

  /** Do waiting bytes belong to the sender? */
  get lent(): boolean {
    return this.#lent;
  }

  get lentBytes(): number {
    return this.#lent ? this.#waiting : 0;
  }

  /** True: copied. False: the parts are lent, and must not change until `lent` is false. */
  put(parts: readonly Uint8Array[]): boolean {
    if (this.#lent) throw new Error("a second send began while one was in flight");
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes === 0) return true;
    if (this.empty && bytes <= TAKEN_BYTES_MAX) {
      this.#parts.push(joinBytes(parts));
    } else {
      for (const part of parts) this.#parts.push(part);
      this.#lent = true;
    }
    this.#waiting += bytes;
    return !this.#lent;
  }

  /** The next bytes, where they are: the sender's, if they are lent. */
  take(): Uint8Array {
    let part = this.#parts[this.#first] as Uint8Array;
    while (part.length === 0) part = this.#parts[++this.#first] as Uint8Array;
    const chunk = part.subarray(this.#at, this.#at + CHUNK_BYTES_MAX);
    this.#at += chunk.length;
    if (this.#at === part.length) {
      this.#first++;
      this.#at = 0;
    }
    this.#waiting -= chunk.length;
    if (this.empty) this.drop();
    return chunk;
  }

  /** Copies the next bytes to the front of `target`; returns how many. */
  fill(target: Uint8Array): number {
    let filled = 0;
    while (filled < target.length && this.#first < this.#parts.length) {
      const part = this.#parts[this.#first] as Uint8Array;
      const end = Math.min(part.length, this.#at + target.length - filled);
      target.set(part.subarray(this.#at, end), filled);
      filled += end - this.#at;
      this.#at = end;
      if (end === part.length) {
        this.#first++;
        this.#at = 0;
      }
    }
    this.#waiting -= filled;
    if (this.empty) this.drop();
    return filled;
  }

  /** Discards waiting bytes. */
  drop(): void {
    this.#parts = [];
    this.#first = this.#at = this.#waiting = 0;
    this.#lent = false;
  }
}
