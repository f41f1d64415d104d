// The wall clock as an offset from the monotonic one. It is looked at again and again, since the
// host may sleep, when its monotonic clock stands still, and since its wall clock may be set.
import type { Clock } from "./ports/clock.ts";

/** A look costs as much as the rest of an entry into the guest: this often it costs nothing. */
const LOOK_NS = 10e6;
/** The system's clock counts whole milliseconds: what differs by less is the same time. */
const STEP_NS = 2_000_000n;

export class WallClock {
  /** Nanoseconds since 1970 less those of the monotonic clock, as of the last look. */
  offsetNs = 0n;
  readonly #clock: Clock;
  #looked = false;
  #dueNs = 0; // when to look again

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Looks, if it is time to; `nowNs` is the monotonic clock's. True: the offset is another one. */
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
