// Time as a machine sees it. Every clock, timer and deferred call of a machine comes from one
// Clock, so a machine on a ManualClock is reproducible.

/** The source of time, timers and deferred calls of a machine. */
export interface Clock {
  /** Monotonic nanoseconds; the origin is the clock's own. */
  now(): number;
  /** Nanoseconds since 1970, for the guest's real-time clock. */
  realtime(): bigint;
  /** Calls back once after at least `ms` milliseconds; returns what cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back once, soon, after the host events that are ready now. */
  defer(callback: () => void): void;
  /** Does it stand still, so that no machine on it gets a turn? Missing: never. */
  readonly paused?: boolean;
}
