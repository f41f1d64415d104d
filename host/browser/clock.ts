// The browser's clock. A deferred call is a message to ourselves: timers of 0 ms are held to 4 ms
// from the fifth nesting on, in Workers too, and microtasks starve the events that a guest waits
// for.
import type { Clock } from "../ports/clock.ts";

/** The longest delay that timers accept; a longer one is set again when it has passed. */
const TIMER_MS_MAX = 0x7fffffff;

/** Calls back after the events that are ready now; one message for all calls of a moment. */
export class DeferredCalls {
  readonly #channel = new MessageChannel();
  #due: (() => void)[] = [];

  constructor() {
    this.#channel.port1.onmessage = () => this.#serve();
  }

  add(callback: () => void): void {
    if (this.#due.push(callback) === 1) this.#post();
  }

  /** Ends the channel, which would keep a process of Node alive. */
  close(): void {
    this.#channel.port1.close();
  }

  #post(): void {
    this.#channel.port2.postMessage(0);
  }

  #serve(): void {
    const round = this.#due;
    this.#due = [];
    let served = 0;
    try {
      while (served < round.length) round[served++]?.();
    } finally {
      // A call that throws takes none of the others with it.
      if (served < round.length) {
        this.#due = [...round.slice(served), ...this.#due];
        this.#post();
      }
    }
  }
}

let calls: DeferredCalls | null = null;

/**
 * The clock of a page or a Worker. Its steps are 5 us in a cross-origin-isolated page, 100 us in
 * others. It jumps when the page was frozen.
 */
export const browserClock: Clock = {
  now: () => performance.now() * 1e6,
  realtime: () => BigInt(Date.now()) * 1_000_000n,
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
  defer(callback) {
    calls ??= new DeferredCalls();
    calls.add(callback);
  },
};
