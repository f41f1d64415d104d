// Time as a machine sees it. Every clock, timer and deferred call of a machine comes from one
// Clock, so a machine on a ManualClock is reproducible.

export interface Clock {
  /** Monotonic nanoseconds; the origin is the clock's own. */
  now(): number;
  /** Nanoseconds since 1970, for the guest's real-time clock. */
  realtime(): bigint;
  /** Calls back once after at least `ms` milliseconds; returns what cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back once, soon, after the host has looked at its sockets. */
  defer(callback: () => void): void;
}
