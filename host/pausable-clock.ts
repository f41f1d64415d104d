// A clock that can stand still. A machine on it gets no turn and no timer while it does, and no
// deadline of the machine or its devices runs out, so connections survive a pause of any length.
import type { Clock } from "./ports/clock.ts";

interface Timer {
  /** By this clock. */
  readonly dueNs: number;
  readonly callback: () => void;
  /** Takes it from the host's clock again. */
  cancel: () => void;
}

export class PausableClock implements Clock {
  readonly #host: Clock;
  readonly #timers = new Set<Timer>();
  readonly #deferred: (() => void)[] = [];
  #shiftNs = 0; // the host's clock less this one
  #stoppedNs: number | null = null;
  #stoppedRealtime = 0n;

  constructor(host: Clock) {
    this.#host = host;
  }

  get paused(): boolean {
    return this.#stoppedNs !== null;
  }

  /** Nothing is called back from now on, and time stands still. */
  pause(): void {
    if (this.#stoppedNs !== null) return;
    this.#stoppedNs = this.now();
    this.#stoppedRealtime = this.#host.realtime();
    for (const timer of this.#timers) timer.cancel();
  }

  /** Time goes on where it stopped. The wall clock jumps to the host's. */
  resume(): void {
    if (this.#stoppedNs === null) return;
    this.#shiftNs = this.#host.now() - this.#stoppedNs;
    this.#stoppedNs = null;
    for (const timer of this.#timers) this.#set(timer);
    for (const _ of this.#deferred) this.#host.defer(this.#next);
  }

  /**
   * Paused: makes the calls that were deferred before. If there are none, time goes on to the next
   * timer, which is called. Returns whether anything was called.
   */
  step(): boolean {
    if (this.#stoppedNs === null) return false;
    const deferred = this.#deferred.splice(0);
    for (const callback of deferred) callback();
    if (deferred.length > 0) return true;
    let next: Timer | null = null;
    for (const timer of this.#timers) {
      if (next === null || timer.dueNs < next.dueNs) next = timer;
    }
    if (next === null) return false;
    const elapsedNs = Math.max(0, next.dueNs - this.#stoppedNs);
    this.#stoppedNs += elapsedNs;
    this.#stoppedRealtime += BigInt(Math.round(elapsedNs));
    this.#timers.delete(next);
    next.callback();
    return true;
  }

  now(): number {
    return this.#stoppedNs ?? this.#host.now() - this.#shiftNs;
  }

  realtime(): bigint {
    return this.paused ? this.#stoppedRealtime : this.#host.realtime();
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { dueNs: this.now() + ms * 1e6, callback, cancel: () => {} };
    this.#timers.add(timer);
    if (!this.paused) this.#set(timer);
    return () => {
      timer.cancel();
      this.#timers.delete(timer);
    };
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback);
    if (!this.paused) this.#host.defer(this.#next);
  }

  /** Makes the oldest call that was deferred, unless there has been a pause since, or is. */
  readonly #next = (): void => {
    if (!this.paused) this.#deferred.shift()?.();
  };

  #set(timer: Timer): void {
    const ms = Math.max(0, (timer.dueNs - this.now()) / 1e6);
    timer.cancel = this.#host.after(ms, () => {
      this.#timers.delete(timer);
      timer.callback();
    });
  }
}
