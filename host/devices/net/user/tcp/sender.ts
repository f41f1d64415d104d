// The direction to the guest: what it has acknowledged, and what is sent again. Loss is rare, for
// only a driver without memory drops a frame: the first segment in flight is repeated until an ACK
// covers all that was in flight then.
import type { Segment } from "./segment.ts";
import type { SendQueue } from "./send-queue.ts";
import { after, plus } from "./sequence.ts";

/** RFC 5681, 3.2 */
const DUPLICATES = 3;
const HALF = 2 ** 31;

/** An ACK as its sequence number makes it: `bad` is of bytes that were never sent. */
export type Acknowledged = "new" | "same" | "old" | "bad";

export class Sender {
  readonly queue: SendQueue;
  /** Of the SYN. */
  readonly iss: number;
  /** The scale of the guest's windows. */
  shift = 0;
  #duplicates = 0;
  #recover = 0; // offset
  repeated = 0;
  /** The guest lacks bytes that are nowhere else: it is no stream any more. */
  hasHole = false;

  constructor(queue: SendQueue, iss: number) {
    this.queue = queue;
    this.iss = iss;
  }

  /** The sequence number of a byte of the stream. */
  seqOf(offset: number): number {
    return plus(this.iss, 1 + offset);
  }

  acknowledge(segment: Segment): Acknowledged {
    const { queue } = this;
    const window = segment.window << this.shift;
    const acked = after(segment.ack, this.seqOf(queue.una));
    if (acked > queue.inFlight) return acked < HALF ? "bad" : "old";
    const isRepeat = acked === 0 && segment.length === 0 && window === queue.window;
    queue.window = window;
    if (acked > 0) {
      this.#duplicates = 0;
      queue.acknowledge(queue.una + acked);
      if (queue.una < this.#recover) this.#repeat();
      return "new";
    }
    if (isRepeat && ++this.#duplicates === DUPLICATES) {
      this.hasHole = queue.isHeadPlaced;
      this.lost();
    }
    return "same";
  }

  /** A frame is missing, by the guest's ACKs or by its silence. */
  lost(): void {
    this.#duplicates = 0;
    this.#recover = this.queue.nxt;
    this.#repeat();
  }

  #repeat(): void {
    if (!this.queue.isHeadPlaced && this.queue.repeat()) this.repeated++;
  }
}
