// The direction from the guest: which bytes come next, and how many may come.
import { TH_FIN } from "../../../../../abi/tcp.ts";
import type { Arrival } from "../arrival.ts";
import type { UserNetworkStats } from "../stats.ts";
import { HIGH_WATER, type ReceiveQueue } from "./receive-queue.ts";
import type { Segment } from "./segment.ts";
import { difference, plus } from "./sequence.ts";

const FIELD_MAX = 0xffff;
/** Windows of 16 bytes to 1 MiB. */
export const WINDOW_SHIFT = 4;
/** A window that grows by less is announced with the next segment (RFC 1122, 4.2.3.3). */
const UPDATE_BYTES = HIGH_WATER / 2;

export class Receiver {
  /** The sequence number that comes next. */
  next = 0;
  /** Has the guest sent its last byte? */
  hasEnded = false;
  isAckDue = false;
  readonly queue: ReceiveQueue;
  #shift = 0;
  #announced = 0; // bytes from `next` on

  constructor(queue: ReceiveQueue) {
    this.queue = queue;
  }

  /** `seq`: of the guest's SYN. */
  begin(seq: number, scales: boolean): void {
    this.next = plus(seq, 1);
    this.#shift = scales ? WINDOW_SHIFT : 0;
  }

  /** The window as it stands in a SYN, which is never scaled. */
  get synWindow(): number {
    return Math.min(FIELD_MAX, this.queue.room);
  }

  /** The window as it stands in other segments. */
  get window(): number {
    return Math.min(FIELD_MAX, this.queue.room >>> this.#shift);
  }

  /** A segment with `next` and `window` is on its way. */
  announced(): void {
    this.isAckDue = false;
    this.#announced = this.window << this.#shift;
  }

  /** The host has taken bytes: a window that is much larger by now is announced at once. */
  drained(): void {
    const room = this.window << this.#shift;
    const grown = room - this.#announced;
    if (grown >= Math.min(UPDATE_BYTES, FIELD_MAX >> 1)) this.isAckDue = true;
  }

  /** May the payload be copied to its place before the checksum is known? */
  takesAll({ seq, payloadBytes }: Segment): boolean {
    const fits = payloadBytes > 0 && payloadBytes <= this.queue.room;
    return fits && seq === this.next && !this.hasEnded;
  }

  /**
   * `isPut`: the payload is in the queue. Anything that is not the next byte is answered by ACK.
   */
  receive(segment: Segment, arrival: Arrival, isPut: boolean, stats: UserNetworkStats): void {
    const { dropped } = stats;
    const before = this.queue.bytes;
    const skip = difference(this.next, segment.seq);
    if (segment.length === 0) {
      this.isAckDue ||= skip !== 0;
      return;
    }
    this.isAckDue = true;
    if (skip < 0) {
      dropped.order++;
    } else if (isPut) {
      this.queue.commit(segment.payloadBytes);
      this.#took(segment.payloadBytes, segment);
    } else if (skip < segment.length && !this.hasEnded) {
      this.#takeRest(segment, arrival, skip, dropped);
    }
    stats.bytesFromGuest += this.queue.bytes - before;
  }

  #takeRest(
    segment: Segment,
    arrival: Arrival,
    skip: number,
    dropped: UserNetworkStats["dropped"],
  ): void {
    const rest = segment.payloadBytes - skip;
    const bytes = Math.min(rest, this.queue.room);
    if (bytes > 0 && !this.queue.put(arrival, segment.headerBytes + skip, bytes)) {
      dropped.noSlab++;
      return;
    }
    if (bytes > 0) this.queue.commit(bytes);
    if (bytes < rest) {
      dropped.window++;
      this.#count(bytes);
    } else {
      this.#took(bytes, segment);
    }
  }

  /** All of a segment that was new. */
  #took(bytes: number, segment: Segment): void {
    this.#count(bytes);
    if (!segment.has(TH_FIN)) return;
    this.hasEnded = true;
    this.next = plus(this.next, 1);
  }

  #count(bytes: number): void {
    this.next = plus(this.next, bytes);
    this.#announced -= bytes;
  }
}
