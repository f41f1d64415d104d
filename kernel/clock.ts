// Time. The host leaves the monotonic clock in the time page on every entry into the guest, so that
// reading it is a load; it stands still until the guest halts or its budget is spent.
import { TimePage } from "../drivers/abi/boot";
import { clock } from "./hypercall";
import { clock_time_get } from "./wasi_snapshot_preview1";

export const NS_PER_MS: u64 = 1_000_000;
export const NS_PER_S: u64 = 1_000_000_000;
/** No time-out: later than every deadline. */
export const NEVER: u64 = u64.MAX_VALUE;

/** Nanoseconds of both sides of a sum fit 64 bits. */
const TIMEOUT_MS_MAX: u64 = (<u64>1 << 62) / NS_PER_MS;

let timePage: usize = 0;
let realtimeOffsetNs: u64 = 0;
const scratch: usize = memory.data(8);

export function clockInit(page: usize): void {
  timePage = page;
  // The firmware's clock is read once: it is slow, and its monotonic clock steps with the wall
  // clock.
  clock_time_get(0, 1, scratch);
  realtimeOffsetNs = load<u64>(scratch) - clock();
}

/** Monotonic nanoseconds at the last entry into the guest. */
export function nowNs(): u64 {
  return load<u64>(timePage, TimePage.monotonicNs);
}

/** Nanoseconds since 1970, as of the last entry into the guest. */
export function realtimeNs(): u64 {
  return realtimeOffsetNs + nowNs();
}

/** The moment `ms` milliseconds from now; negative, or more than 146 years, means never. */
export function deadlineAfterMs(ms: i64): u64 {
  return <u64>ms > TIMEOUT_MS_MAX ? NEVER : nowNs() + <u64>ms * NS_PER_MS;
}

export function setNextTimer(deadlineNs: u64): void {
  store<u64>(timePage, deadlineNs, TimePage.nextTimerNs);
}

/** The host's watchdog sees this word stand still when a thread never calls the kernel. */
export function beat(): void {
  store<u32>(timePage, load<u32>(timePage, TimePage.heartbeat) + 1, TimePage.heartbeat);
}

/** Tells the host where the statistics are. */
export function publishStats(block: usize): void {
  store<u32>(timePage, <u32>block, TimePage.stats);
}

/** Tells the host where the ring of switches is. */
export function publishTrace(ring: usize): void {
  store<u32>(timePage, <u32>ring, TimePage.trace);
}
