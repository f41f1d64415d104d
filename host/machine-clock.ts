// The clock of one machine: the host's, shifted. A machine that is restored from a snapshot goes on
// with the monotonic time that it was saved at, so no deadline in it has passed meanwhile. The wall
// clock jumps.
import type { Clock } from "./ports/clock.ts";

export class MachineClock implements Clock {
  readonly #host: Clock;
  #shiftNs = 0;

  constructor(host: Clock) {
    this.#host = host;
  }

  /** From now on it is `ns`. */
  continueAt(ns: number): void {
    this.#shiftNs = ns - this.#host.now();
  }

  get paused(): boolean {
    return this.#host.paused === true;
  }

  now(): number {
    return this.#host.now() + this.#shiftNs;
  }

  realtime(): bigint {
    return this.#host.realtime();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#host.after(ms, callback);
  }

  defer(callback: () => void): void {
    this.#host.defer(callback);
  }
}
