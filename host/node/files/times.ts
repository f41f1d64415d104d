// Times of files as Node takes them: seconds as a double, of which the host gets microseconds.
import type { FileStat, FileTime } from "../../ports/files.ts";

const NS_PER_US = 1000n;
const NS_PER_MS = 1_000_000n;
const US_PER_MS = 1000;
const US_PER_S = 1_000_000;
const NS_PER_S = 1_000_000_000;
/** From the monotonic clock to the time of day, as far as it is known. */
let offsetUs = performance.timeOrigin * US_PER_MS;

/** Both times for utimes: what is to stay is said again, for Node has no way to leave it out. */
export function timesOf(atime: FileTime, mtime: FileTime, stat: () => FileStat): [string, string] {
  const old = stat();
  const nowNs = nowIn([old.mtimeNs, old.ctimeNs]);
  const timeOf = (time: FileTime, stays: bigint) =>
    secondsOf(time === "now" ? nowNs : (time ?? stays));
  return [timeOf(atime, old.atimeNs), timeOf(mtime, old.mtimeNs)];
}

/** Now, but not before those stamps of the same moment, which may know it better. */
function nowIn(stamps: readonly bigint[]): bigint {
  let nowNs = BigInt(nowUs()) * NS_PER_US;
  for (const ns of stamps) {
    const up = ((ns + NS_PER_US - 1n) / NS_PER_US) * NS_PER_US;
    if (up > nowNs && up - nowNs < NS_PER_MS) nowNs = up;
  }
  return nowNs;
}

/**
 * Date knows milliseconds, which would set a file back behind one that was written before it. The
 * monotonic clock knows more, but not that somebody has set the time of day.
 */
function nowUs(): number {
  const ms = Date.now() * US_PER_MS;
  const us = Math.floor(performance.now() * US_PER_MS + offsetUs);
  if (us >= ms && us < ms + US_PER_MS) return us;
  offsetUs += ms - us;
  return ms;
}

/** As text: a number before 1970 would mean now. Behind 2242 a double does not tell all of them. */
function secondsOf(ns: bigint): string {
  const us = Number((ns - (((ns % NS_PER_US) + NS_PER_US) % NS_PER_US)) / NS_PER_US);
  const size = Math.abs(us);
  let seconds = size / US_PER_S;
  // The least one of which no fewer microseconds arrive.
  while (cut(seconds) < size) seconds = nextUp(seconds);
  return String(us < 0 ? -seconds : seconds);
}

/** The microseconds that libuv makes of it. */
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
