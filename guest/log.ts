// Lines for the console, and the time.
import { nowNs, NS_PER_MS, print, realtimeNs } from "../kernel/api";

/** Prints `level: message` on a line. Yields while the console is full. */
export function log(level: string, message: string): void {
  print(level);
  print(": ");
  print(message);
  print("\n");
}

/** Milliseconds of the monotonic clock, as of the last entry into the guest. */
export function nowMs(): f64 {
  return <f64>nowNs() / <f64>NS_PER_MS;
}

/** Milliseconds since 1970. */
export function dateMs(): f64 {
  return <f64>(realtimeNs() / NS_PER_MS);
}
