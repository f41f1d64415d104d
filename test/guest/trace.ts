// Threads for a trace to show.
import { startTrace } from "torito/kernel/main";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { SysThreadSwitch } from "torito/kernel/thread-calls";
import { traceRing } from "torito/kernel/trace";
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

export function test_without_memory_there_is_no_ring(): void {
  let blocks: usize = 0; // each begins with the address of the one before
  for (let block = ToroGetMem(0x10000); block != 0; block = ToroGetMem(0x10000)) {
    store<usize>(block, blocks);
    blocks = block;
  }
  startTrace();
  assert(traceRing == 0, "trace: a ring out of nothing");
  while (blocks != 0) {
    const before = load<usize>(blocks);
    ToroFreeMem(blocks);
    blocks = before;
  }
}
