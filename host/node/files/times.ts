// File times for Node, which takes seconds as a double and passes microseconds to the host.
import type { FileStat, FileTime } from "../../ports/files.ts";

const NS_PER_US = 1000n;
const NS_PER_MS = 1_000_000n;
const US_PER_MS = 1000;
const US_PER_S = 1_000_000;
const NS_PER_S = 1_000_000_000;
/** From the monotonic clock to the time of day, as last measured. */
let offsetUs = performance.timeOrigin * US_PER_MS;

/** Both times for utimes. Node cannot leave one out, so an unchanged one is set again. */
export function timesOf(atime: FileTime, mtime: FileTime, stat: () => FileStat): [string, string] {
  const old = stat();
  const nowNs = nowIn([old.mtimeNs, old.ctimeNs]);
  const timeOf = (time: FileTime, stays: bigint) =>
    secondsOf(time === "now" ? nowNs : (time ?? stays));
  return [timeOf(atime, old.atimeNs), timeOf(mtime, old.mtimeNs)];
}

/** Now, but not before stamps less than a millisecond ahead, which may be more precise. */
function nowIn(stamps: readonly bigint[]): bigint {
  let nowNs = BigInt(nowUs()) * NS_PER_US;
  for (const ns of stamps) {
    const up = ((ns + NS_PER_US - 1n) / NS_PER_US) * NS_PER_US;
    if (up > nowNs && up - nowNs < NS_PER_MS) nowNs = up;
  }
  return nowNs;
}

/**
 * Date has milliseconds, so a file could appear older than one written before it. The monotonic
 * clock is more precise, but does not notice that the time of day was set.
 */
function nowUs(): number {
  const ms = Date.now() * US_PER_MS;
  const us = Math.floor(performance.now() * US_PER_MS + offsetUs);
  if (us >= ms && us < ms + US_PER_MS) return us;
  offsetUs += ms - us;
  return ms;
}

/**
 * As text: a number before 1970 would mean now. After 2242 a double cannot represent all of them.
 */
function secondsOf(ns: bigint): string {
  const us = Number((ns - (((ns % NS_PER_US) + NS_PER_US) % NS_PER_US)) / NS_PER_US);
  const size = Math.abs(us);
  let seconds = size / US_PER_S;
  // The smallest double that is not cut off to fewer microseconds.
  while (cut(seconds) < size) seconds = nextUp(seconds);
  return String(us < 0 ? -seconds : seconds);
}

/** The microseconds that libuv converts it to. */
function cut(seconds: number): number {
  const whole = Math.trunc(seconds);
  return whole * US_PER_S + Math.trunc(Math.trunc((seconds - whole) * NS_PER_S) / 1000);
}

const double = new Float64Array(1);
const bits = new BigUint64Array(double.buffer);

function nextUp(value: number): number {
  double[0] = value;
  bits[0] = (bits[0] as bigint) + 1n;
  return double[0] as number;
}
