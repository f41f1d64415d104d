// The world as asc's standard library sees it (kernel/rt/dom.ts): the seed of Math.random, console,
// Date, performance and crypto. An image that uses none of them contains none of this.
import { nowNs, NS_PER_MS, realtimeNs } from "./clock";
import { print } from "./console";
import { random_get } from "./wasi_snapshot_preview1";

const word: usize = memory.data(8);

/** Math.random's seed. */
export function seed(): f64 {
  randomBytes(word, 8);
  return reinterpret<f64>(load<u64>(word));
}

/** Math.random goes on from here. */
export function reseed(value: u64): void {
  NativeMath.seedRandom(<i64>value);
}

/** Prints a line of the application. Yields as print(). */
export function printLine(text: string): void {
  print(text);
  print("\n");
}

export function monotonicMs(): f64 {
  return <f64>nowNs() / <f64>NS_PER_MS;
}

/** Milliseconds since 1970. */
export function wallClockMs(): f64 {
  return <f64>(realtimeNs() / NS_PER_MS);
}

/** Fills memory with entropy of the host. Does not yield. */
export function randomBytes(address: usize, bytes: u32): void {
  assert(random_get(address, bytes) == 0, "entropy: the firmware has none");
}
