// Bytes of the guest on their way to the host's socket (NB24). A segment is copied once, out of the
// guest's memory, and is acknowledged then; what a turn has brought leaves in one system call.
// While the kernel has not taken it, further bytes gather, up to the high-water mark.
import type { StreamSocket } from "../../../../ports/sockets.ts";
import type { Arrival } from "../arrival.ts";
import { SLAB_BYTES, type SlabPool } from "../slabs.ts";
import { fold, placed } from "../sum.ts";

/** Bytes that the kernel has not taken: the window is what is missing to this. */
export const HIGH_WATER = 256 * 1024;

interface Piece {
  readonly at: number;
  bytes: number;
}

export class ReceiveQueue {
  /** Bytes of the stream so far. */
  bytes = 0;
  /** Bytes that the kernel has not taken. */
  pending = 0;
  /** The sum of what the last put() has copied, unless its checksum was left to others. */
  sum = 0;
  readonly #pool: SlabPool;
  #gathered: Piece[] = [];
  #sending: Piece[] = [];
  #sendingBytes = 0;
  /** Where put() has copied to, first and second half, until commit(). */
  #firstBytes = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  get room(): number {
    return HIGH_WATER - this.pending;
  }

  get isSending(): boolean {
    return this.#sendingBytes > 0;
  }

  /**
   * Copies `bytes` of the packet's data, from `from` on, for commit(); they are at most a slab, and
   * at most the room. False: there is no slab.
   */
  put(arrival: Arrival, from: number, bytes: number): boolean {
    const { memory } = arrival;
    const last = this.#gathered.at(-1) ?? this.#extend();
    if (last === null) return false;
    const first = Math.min(bytes, SLAB_BYTES - last.bytes);
    const at = last.at + last.bytes;
    arrival.copyTo(at, from, first);
    const isSummed = !arrival.needsChecksum;
    this.sum = isSummed ? memory.sum(at, first) : 0;
    this.#firstBytes = first;
    if (first === bytes) return true;
    const second = this.#extend();
    if (second === null) return false;
    arrival.copyTo(second.at, from + first, bytes - first);
    if (isSummed) this.sum = fold(this.sum + placed(memory.sum(second.at, bytes - first), first));
    return true;
  }

  /** The bytes that put() has copied are part of the stream. */
  commit(bytes: number): void {
    const last = this.#gathered.at(-1) as Piece;
    const rest = bytes - this.#firstBytes;
    if (rest > 0) last.bytes = rest;
    const first = rest > 0 ? (this.#gathered.at(-2) as Piece) : last;
    first.bytes += this.#firstBytes;
    this.pending += bytes;
    this.bytes += bytes;
  }

  /** Sends what has gathered, unless the kernel still has the bytes before it. */
  flush(socket: StreamSocket, { u8 }: { readonly u8: Uint8Array }): void {
    if (this.isSending || this.#gathered.length === 0) return;
    const pieces = this.#gathered.filter(({ bytes }) => bytes > 0);
    this.#sending = this.#gathered;
    this.#gathered = [];
    this.#sendingBytes = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    const parts = pieces.map(({ at, bytes }) => u8.subarray(at, at + bytes));
    if (parts.length === 0 || socket.send(parts)) this.sent();
  }

  /** SocketEvents.sent() */
  sent(): void {
    this.pending -= this.#sendingBytes;
    this.#sendingBytes = 0;
    for (const { at } of this.#sending.splice(0)) this.#pool.give(at);
  }

  /** Gives back all slabs; the kernel looks at none of them any more. */
  release(): void {
    this.pending = 0;
    this.#sendingBytes = 0;
    for (const { at } of this.#sending.splice(0)) this.#pool.give(at);
    for (const { at } of this.#gathered.splice(0)) this.#pool.give(at);
  }

  #extend(): Piece | null {
    const at = this.#pool.take();
    if (at < 0) return null;
    const piece = { at, bytes: 0 };
    this.#gathered.push(piece);
    return piece;
  }
}
