// A clock that a test or a simulation moves by hand.
import type { Clock } from "./ports/clock.ts";

interface ManualTimer {
  readonly dueNs: number;
  readonly callback: () => void;
}

/** Stands still until advance() or settle() is called. For tests and simulations. */
export class ManualClock implements Clock {
  #nowNs: number;
  #timers: ManualTimer[] = [];
  #deferred: (() => void)[] = [];

  constructor(startNs = 0) {
    this.#nowNs = startNs;
  }

  now(): number {
    return this.#nowNs;
  }

  realtime(): bigint {
    return BigInt(Math.floor(this.#nowNs));
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { dueNs: this.#nowNs + ms * 1e6, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  /** Timers that have not fired. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Callbacks that wait for settle(). */
  get deferred(): number {
    return this.#deferred.length;
  }

  /** Runs one round of deferred callbacks; returns how many there were. */
  settle(): number {
    const round = this.#deferred;
    this.#deferred = [];
    for (const callback of round) callback();
    return round.length;
  }

  /**
   * Advances the time. Runs callbacks that are deferred already, then fires timers in the order of
   * their due times, each followed by a round of what it deferred.
   */
  advance(ms: number): void {
    const endNs = this.#nowNs + ms * 1e6;
    this.settle();
    for (;;) {
      let next: ManualTimer | undefined;
      for (const timer of this.#timers) {
        if (timer.dueNs <= endNs && (next === undefined || timer.dueNs < next.dueNs)) next = timer;
      }
      if (next === undefined) break;
      const fired = next;
      this.#timers = this.#timers.filter((other) => other !== fired);
      this.#nowNs = Math.max(this.#nowNs, fired.dueNs);
      fired.callback();
      this.settle();
    }
    this.#nowNs = endNs;
  }
}
