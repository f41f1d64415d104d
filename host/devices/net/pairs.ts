// The pairs of queues of a network device, of which the guest uses one or more (MQ, virtio
// 5.1.6.5.6).
import type { VirtQueue } from "../../virtqueue.ts";
import type { Frame } from "./frame.ts";
import { turnBudget } from "./from-guest.ts";
import type { Borrower, Loan } from "./loan.ts";
import type { Envelope } from "./network.ts";
import { Pair, type PairRules } from "./pair.ts";
import type { NetStats } from "./stats.ts";
import { Steering } from "./steering.ts";
import type { FrameTap } from "./tap.ts";
import type { ToGuest } from "./to-guest.ts";

/** Frames that are longer take the second pair, if size is what decides. */
const SMALL_BYTES_MAX = 1514;

export interface PairsOptions {
  readonly count: number;
  readonly stats: NetStats;
  /** Of a frame that is one. */
  readonly bytesMax: number;
  readonly bySize: boolean;
  /** Is given each frame of the guest. */
  readonly handle: (frame: Frame) => void;
}

export class Pairs {
  readonly #pairs: readonly Pair[];
  readonly #bySize: boolean;
  readonly #steering = new Steering();
  /** Those that the guest uses: the first of them, until it asks for more (NW28). */
  #active = 1;
  /** Which comes first in this turn. */
  #first = 0;

  constructor({ count, stats, bytesMax, bySize, handle }: PairsOptions) {
    this.#bySize = bySize;
    this.#pairs = Array.from({ length: count }, (_, i) => {
      return new Pair(stats, bytesMax, (frame) => {
        if (this.#active > 1) this.#steering.learn(frame, i);
        handle(frame);
      });
    });
  }

  /** Sees every frame to the guest. */
  set tap(tap: FrameTap | null) {
    for (const { toGuest } of this.#pairs) toGuest.tap = tap;
  }

  /** Frames that wait for the guest to post buffers. */
  get waiting(): number {
    return this.#pairs.reduce((sum, { toGuest }) => sum + toGuest.waiting, 0);
  }

  get active(): number {
    return this.#active;
  }

  /** Frames that wait in a pair that is not used any more are dropped. */
  set active(count: number) {
    this.#active = count;
    this.#steering.clear();
    for (const { toGuest } of this.#pairs.slice(count)) toGuest.clear();
  }

  /** Can frames of the guest come? */
  get isSending(): boolean {
    return this.#pairs.some((pair) => pair.isSending);
  }

  /** The driver is ready, with these queues for its pairs. */
  begin(queues: readonly (VirtQueue | null)[], rules: PairRules): void {
    this.active = 1;
    this.#pairs.forEach((pair, i) => {
      pair.begin(queues[2 * i] ?? null, queues[2 * i + 1] ?? null, rules);
    });
  }

  /** The driver has stopped a queue of a pair. */
  stop(queue: number): void {
    const pair = this.#pairs[queue >> 1];
    if ((queue & 1) === 0) pair?.stopReceiving();
    else pair?.stopSending();
  }

  /** The driver is gone. */
  end(): void {
    this.#pairs.forEach((_, i) => {
      this.stop(2 * i);
      this.stop(2 * i + 1);
    });
    this.active = 1;
  }

  /** Drops the frames that wait. */
  clear(): void {
    for (const { toGuest } of this.#pairs) toGuest.clear();
  }

  /** The guest has posted buffers: frames that wait go first. */
  pump(): void {
    for (const { toGuest } of this.#pairs) toGuest.pump();
  }

  /** Moves frames of the guest. True: a turn's worth of them was moved, and there may be more. */
  take(): boolean {
    const budget = turnBudget();
    this.#first = (this.#first + 1) % this.#active;
    for (let i = 0; i < this.#active; i++) {
      const pair = this.#pairs[(this.#first + i) % this.#active] as Pair;
      if (pair.take(budget)) return true;
    }
    return false;
  }

  /** NW28, NW30: a pair whose queue the driver has not set up is not used. */
  deliver(frame: Frame): void {
    this.#receiver(frame).deliver(frame);
  }

  /** Card.offer() */
  offer(frame: Frame): boolean {
    return this.#receiver(frame).offer(frame);
  }

  /** Card.lend() */
  lend(envelope: Envelope, borrower: Borrower): Loan | null {
    const chosen = this.#bySize ? 0 : this.#steering.pairOfTcp(envelope) % this.#active;
    const pair = this.#pairs[chosen] as Pair;
    const { toGuest } = pair.toGuest.queue === null ? (this.#pairs[0] as Pair) : pair;
    return toGuest.lend(borrower);
  }

  #receiver(frame: Frame): ToGuest {
    const pair = this.#pairs[this.#active === 1 ? 0 : this.#choose(frame)] as Pair;
    return (pair.toGuest.queue === null ? (this.#pairs[0] as Pair) : pair).toGuest;
  }

  #choose(frame: Frame): number {
    if (this.#bySize) return frame.bytes > SMALL_BYTES_MAX ? 1 : 0;
    return this.#steering.pairOf(frame) % this.#active;
  }

  /** Interrupts the guest for what was used. */
  signal(): void {
    for (const pair of this.#pairs) pair.signal();
  }
}
