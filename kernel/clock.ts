// Time. On every entry into the guest the host stores the monotonic clock in the time page, and the
// offset of the wall clock, so that reading either is a load; both stand still until the guest
// halts or its budget is spent. The monotonic clock never steps; the wall clock follows the host's.
import { TimePage } from "../abi/boot";

export const NS_PER_MS: u64 = 1_000_000;
export const NS_PER_S: u64 = 1_000_000_000;
/** No time-out: later than every deadline. */
export const NEVER: u64 = u64.MAX_VALUE;

/** The sum of two time-outs in nanoseconds fits 64 bits. */
const TIMEOUT_MS_MAX: u64 = (<u64>1 << 62) / NS_PER_MS;

let timePage: usize = 0;

export function clockInit(page: usize): void {
  timePage = page;
}

/** Monotonic nanoseconds at the last entry into the guest. */
export function nowNs(): u64 {
  return load<u64>(timePage, TimePage.monotonicNs);
}

/** Nanoseconds since 1970, as of the last entry into the guest. */
export function realtimeNs(): u64 {
  return nowNs() + load<u64>(timePage, TimePage.realtimeOffsetNs);
}

/** The moment `ms` milliseconds from now; negative, or more than 146 years, means never. */
export function deadlineAfterMs(ms: i64): u64 {
  return <u64>ms > TIMEOUT_MS_MAX ? NEVER : nowNs() + <u64>ms * NS_PER_MS;
}

/** The moment `ns` nanoseconds from now, or NEVER for NEVER. */
export function deadlineAfterNs(ns: u64): u64 {
  return ns == NEVER ? NEVER : nowNs() + ns;
}

export function setNextTimer(deadlineNs: u64): void {
  store<u64>(timePage, deadlineNs, TimePage.nextTimerNs);
}

/** Does the host take no more console output? */
export function consoleIsFull(): bool {
  return load<u32>(timePage, TimePage.consoleFull) != 0;
}

/** Counts a turn. The host's watchdog looks for a thread that never calls the kernel. */
export function beat(): void {
  store<u32>(timePage, load<u32>(timePage, TimePage.heartbeat) + 1, TimePage.heartbeat);
}

/** Tells the host that the allocator has written nothing from `top` on, but for its end mark. */
export function publishHeapTop(top: usize): void {
  store<u32>(timePage, <u32>top, TimePage.heapTop);
}

/** Tells the host how much of the machine is in use. */
export function publishLoad(threads: u32, heapBytes: u64, heapInUse: u64, allocations: u64): void {
  store<u32>(timePage, threads, TimePage.threads);
  store<u64>(timePage, heapBytes, TimePage.heapBytes);
  store<u64>(timePage, heapInUse, TimePage.heapInUse);
  store<u64>(timePage, allocations, TimePage.allocations);
}

/** Gives the host the address of the statistics. */
export function publishStats(block: usize): void {
  store<u32>(timePage, <u32>block, TimePage.stats);
}

/** Gives the host the address of the ring of requests. */
export function publishAccessLog(ring: usize): void {
  store<u32>(timePage, <u32>ring, TimePage.accessLog);
}

/** Does the host ask for the ring of switches? */
export function isTraceWanted(): bool {
  return load<u32>(timePage, TimePage.traceWanted) != 0;
}

/** Gives the host the address of the application's counters. */
export function publishCounters(table: usize): void {
  store<u32>(timePage, <u32>table, TimePage.counters);
}

/** Gives the host the address of the ring of switches. */
export function publishTrace(ring: usize): void {
  store<u32>(timePage, <u32>ring, TimePage.trace);
}
