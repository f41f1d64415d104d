// The system's clock, by Node.
import { performance } from "node:perf_hooks"; // the global is a getter
import type { Clock } from "../ports/clock.ts";

/** The longest delay that Node's timers accept; a longer one is set again when it has passed. */
export const TIMER_MS_MAX = 0x7fffffff;

/** Its timers keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now() * 1e6,
  realtime: () => BigInt(Date.now()) * 1_000_000n,
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, TIMER_MS_MAX));
    return () => clearTimeout(timer);
  },
  defer(callback) {
    setImmediate(callback);
  },
};
