// The wall clock as an offset from the monotonic one. It has to be read again from time to time:
// the monotonic clock stands still while the host sleeps, and the wall clock may be set.
import type { Clock } from "./ports/clock.ts";

/**
 * Reading it costs as much as the rest of an entry into the guest; at this interval the cost
 * vanishes.
 */
const LOOK_NS = 10e6;
/** The system's clock counts whole milliseconds: smaller differences are noise. */
const STEP_NS = 2_000_000n;

export class WallClock {
  /** Nanoseconds since 1970 minus the monotonic clock, when last read. */
  offsetNs = 0n;
  readonly #clock: Clock;
  #looked = false;
  #dueNs = 0; // when to read it again

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Reads it if that is due; `nowNs` is the monotonic clock. True: the offset has changed. */
  look(nowNs: number): boolean {
    if (nowNs < this.#dueNs && this.#looked) return false;
    this.#dueNs = nowNs + LOOK_NS;
    const offsetNs = this.#clock.realtime() - BigInt(Math.floor(nowNs));
    const stepNs = offsetNs - this.offsetNs;
    if (this.#looked && stepNs < STEP_NS && stepNs > -STEP_NS) return false;
    this.#looked = true;
    this.offsetNs = offsetNs;
    return true;
  }
}
