// Threads that do nothing but switch, at a chosen depth of calls.
import { clock } from "torito/kernel/hypercall";
import { BeginThread, SysThreadSwitch } from "torito/kernel/thread-calls";
import { schedule, switchCount } from "torito/kernel/scheduler";

let callDepth: u32 = 0;
let turns: u32 = 0;
let measured: u64 = 0;
let sink: u64 = 0; // what the calls return must be of use, or they are optimised away

/** Keeps `depth` frames, each with a live local, and switches below them. Yields. */
function descend(depth: u32, x: u64): u64 {
  if (depth == 0) {
    for (let i = turns; i != 0; i--) SysThreadSwitch();
    return x;
  }
  const y = x * 3 + depth;
  return descend(depth - 1, y) ^ y;
}

function switcher(arg: usize): void {
  sink += descend(callDepth, arg);
}

/**
 * Runs `threads` threads that switch `switchesEach` times at `depth`, to their end. Returns the
 * nanoseconds that it took; switches() tells of how many switches.
 */
export function measure(threads: u32, depth: u32, switchesEach: u32): u64 {
  callDepth = depth;
  turns = switchesEach;
  for (let i: u32 = 0; i < threads; i++) {
    assert(BeginThread(switcher, i, 0) > 0, "switch: no memory for a thread");
  }
  const before = switchCount();
  const startedNs = clock();
  while (schedule(u32.MAX_VALUE) == 0) {}
  const ns = clock() - startedNs;
  measured = switchCount() - before;
  return ns;
}

/** Threads entered during the last measure(). */
export function switches(): u64 {
  return measured;
}
