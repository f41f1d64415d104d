// Threads for a trace to show.
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { SysThreadSwitch } from "torito/kernel/thread-calls";
import { thread } from "./harness";

export { inUse } from "./harness";

let turns: u32 = 0;

function alternate(_: usize): void {
  for (let i: u32 = 1; i < turns; i++) SysThreadSwitch();
}

/** Begins two threads; each has the CPU `count` times. */
export function begin(count: u32): void {
  turns = count;
  thread(alternate);
  thread(alternate);
}

function fail(_: usize): void {
  assert(turns == u32.MAX_VALUE, "on purpose");
}

export function beginToFail(): void {
  thread(fail);
}

/** Leaves memory for threads, but not for a ring. */
export function takeAlmostAll(): void {
  let last: usize = 0;
  for (let block = ToroGetMem(0x20000); block != 0; block = ToroGetMem(0x20000)) last = block;
  ToroFreeMem(last);
}
