// The basis of a unit test of the kernel. A test is an exported test_* function, called on a
// machine that has just booted; threads that it begins run when it has returned, and must all have
// ended when nothing is left to run.
import { BeginThread } from "torito/kernel/thread-calls";
import { heapInUse } from "./books";

/** Runs `body` as a thread of the test. */
export function thread(body: (arg: usize) => void, arg: usize = 0): i32 {
  const id = BeginThread(body, arg, 0);
  assert(id > 0, "harness: no thread");
  return id;
}

/** Bytes in use, for tests that must leave no trace. */
export function inUse(): u64 {
  return heapInUse();
}

// The order in which things happened, as decimal digits.
let trace: u64 = 0;

export function mark(digit: u32): void {
  trace = trace * 10 + digit;
}

export function marks(): u64 {
  return trace;
}
