// Bytes of the host on their way to the guest (NB25). They stay in slabs until the guest has
// acknowledged them, so that a frame that it dropped can be sent again. Positions are offsets in
// the stream; the end of the stream takes one as well.
import { SLAB_BYTES, type SlabPool } from "../slabs.ts";
import type { SumMemory } from "../sum.ts";

/** Unacknowledged bytes. Nothing more is read from the host's socket then. */
export const UNACKNOWLEDGED_MAX = 1024 * 1024;
/** A slab with less room than that, and than is wanted, is left as it is. */
const ROOM_LEAST = 16 * 1024;

/** The address of a piece that is in the guest alone: it was read in place. */
const NOWHERE = -1;

/** One piece of the stream. */
interface Piece {
  readonly at: number;
  start: number;
  bytes: number;
}

export class SendQueue {
  /** Of the next segment; set before the first next(). */
  mss = 0;
  /** Payload of a frame at most: the guest takes several segments in one, or one. */
  frameBytes = 0;
  /** All before `una` is acknowledged, all before `nxt` was sent, all before `end` is here. */
  una = 0;
  nxt = 0;
  end = 0;
  /** Will nothing follow? */
  isClosed = false;
  /** The segment that next() has found. */
  at = 0;
  bytes = 0;
  offset = 0;
  hasFin = false;
  isLast = false;
  readonly #memory: SumMemory;
  readonly #pool: SlabPool;
  readonly #pieces: Piece[] = [];
  #window = 0;
  #windowMost = 0;
  #isRepeating = false;

  constructor(memory: SumMemory, pool: SlabPool) {
    this.#memory = memory;
    this.#pool = pool;
  }

  /** The guest's, in bytes from `una` on. */
  set window(bytes: number) {
    this.#window = bytes;
    this.#windowMost = Math.max(this.#windowMost, bytes);
  }

  get window(): number {
    return this.#window;
  }

  get inFlight(): number {
    return this.nxt - this.una;
  }

  /** Has everything been acknowledged, the end included? */
  get isDone(): boolean {
    return this.isClosed && this.una > this.end;
  }

  /** Are all bytes acknowledged that are here? */
  get isIdle(): boolean {
    return this.una >= this.end;
  }

  /** Is there something that was not sent yet? */
  get hasUnsent(): boolean {
    return this.nxt < this.#finish;
  }

  /** Bytes that the guest takes now, beyond those that are here. */
  get room(): number {
    return this.una + Math.min(this.#window, UNACKNOWLEDGED_MAX) - this.end;
  }

  /**
   * The length of a read, at least one; whole segments, where there is room for them. The buffer
   * may be named while there is no room, and be used when there is.
   */
  get readable(): number {
    const least = Math.max(1, Math.min(this.mss, this.#windowMost >>> 1));
    const most = Math.max(this.mss, SLAB_BYTES - (SLAB_BYTES % this.mss));
    return Math.min(Math.max(this.room, least), most);
  }

  /**
   * May more be read? Not while something waits, nor for a part of the window that is hardly worth
   * a segment, as long as ACKs will make it larger (RFC 1122, 4.2.3.4).
   */
  get mayRead(): boolean {
    if (this.isClosed || this.hasUnsent || this.room <= 0) return false;
    return this.inFlight === 0 || this.room >= Math.min(this.mss, this.#windowMost / 2);
  }

  /**
   * A place for up to `bytes`, for commit(). Returns its length, and leaves its address in `at`; 0:
   * there is no slab.
   */
  reserve(bytes: number): number {
    const last = this.#place(Math.min(bytes, ROOM_LEAST));
    if (last === null) return 0;
    this.at = last.at + last.bytes;
    return Math.min(bytes, SLAB_BYTES - last.bytes);
  }

  /** `bytes` are at the place that was reserved last. */
  commit(bytes: number): void {
    (this.#pieces.at(-1) as Piece).bytes += bytes;
    this.end += bytes;
  }

  /** May `bytes` go to the guest at once, before they are in the queue? */
  mayPlace(bytes: number): boolean {
    const isNext = !this.isClosed && !this.hasUnsent && !this.#isRepeating;
    return isNext && bytes <= this.una + this.#window - this.nxt;
  }

  /** `bytes` are on their way to the guest, in its own memory, and nowhere else (NB25). */
  placed(bytes: number): void {
    const last = this.#pieces.at(-1);
    if (last?.at === NOWHERE) last.bytes += bytes;
    else this.#pieces.push({ at: NOWHERE, start: this.end, bytes });
    this.end += bytes;
    this.nxt = this.end;
  }

  /** Is what comes next, by the guest's ACK, gone for good if the guest has dropped it? */
  get isHeadPlaced(): boolean {
    return this.inFlight > 0 && this.#pieces.find((one) => this.una < endOf(one))?.at === NOWHERE;
  }

  /** Copies bytes of a socket. False: there is no slab for all of them. */
  copy(bytes: Uint8Array): boolean {
    for (let from = 0; from < bytes.length; ) {
      const length = this.reserve(bytes.length - from);
      if (length === 0) return false;
      this.#memory.u8.set(bytes.subarray(from, from + length), this.at);
      this.commit(length);
      from += length;
    }
    return true;
  }

  /** Finds the next segment that may be sent. False: none, for now. */
  next(): boolean {
    if (this.#isRepeating) return this.#cut(this.una, this.mss);
    if (!this.hasUnsent) return false;
    const room = this.una + this.#window - this.nxt;
    const wanted = Math.min(this.mss, this.end - this.nxt);
    if (room < Math.max(1, wanted) && this.inFlight > 0 && room < this.#windowMost / 2)
      return false;
    return room > 0 && this.#cut(this.nxt, this.#whole(Math.min(this.frameBytes, room)));
  }

  /** Whole segments, or a part of one. */
  #whole(bytes: number): number {
    return bytes > this.mss ? bytes - (bytes % this.mss) : bytes;
  }

  /** The segment of next() is on its way. */
  sent(): void {
    this.#isRepeating = false;
    this.nxt = Math.max(this.nxt, this.offset + this.bytes + (this.hasFin ? 1 : 0));
  }

  /** The first segment in flight is sent again, before others. False: none is in flight. */
  repeat(): boolean {
    this.#isRepeating = this.inFlight > 0;
    return this.#isRepeating;
  }

  /** The guest has everything before this offset, which is at most `nxt`. */
  acknowledge(offset: number): void {
    this.una = offset;
    this.#isRepeating = false;
    while (this.#pieces.length > 1 && endOf(this.#pieces[0] as Piece) <= offset) {
      this.#give((this.#pieces.shift() as Piece).at);
    }
  }

  #give(at: number): void {
    if (at !== NOWHERE) this.#pool.give(at);
  }

  /** Gives back the slab that nothing needs; a socket may still read into it if it `isLanding`. */
  trim(isLanding: boolean): void {
    if (!isLanding && this.isIdle) this.release();
  }

  /** Gives back all slabs. */
  release(): void {
    for (const { at } of this.#pieces.splice(0)) this.#give(at);
  }

  get #finish(): number {
    return this.end + (this.isClosed ? 1 : 0);
  }

  /** The piece that new bytes go to, with room for `bytes`. null: there is no slab. */
  #place(bytes: number): Piece | null {
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.at !== NOWHERE) {
      if (this.isIdle) {
        last.start = this.end;
        last.bytes = 0;
      }
      if (SLAB_BYTES - last.bytes >= bytes) return last;
    }
    const at = this.#pool.take();
    if (at < 0) return null;
    const piece = { at, start: this.end, bytes: 0 };
    this.#pieces.push(piece);
    return piece;
  }

  #cut(offset: number, most: number): boolean {
    const piece = this.#pieces.find((one) => offset < endOf(one));
    const skip = piece === undefined ? 0 : offset - piece.start;
    this.offset = offset;
    this.at = piece === undefined ? 0 : piece.at + skip;
    this.bytes = piece === undefined ? 0 : Math.min(most, piece.bytes - skip);
    const after = offset + this.bytes;
    this.isLast = after >= this.end;
    this.hasFin = this.isClosed && this.isLast && this.bytes < most;
    return this.bytes > 0 || this.hasFin;
  }
}

const endOf = ({ start, bytes }: Piece): number => start + bytes;
