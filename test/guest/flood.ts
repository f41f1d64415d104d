// Prints `lines` numbered lines of 64 bytes from a thread that never gives way of its own accord,
// while another thread counts its turns. With `flood=host` the host calls for the lines, where
// nobody can wait, and with `flood=atomic` an atomic call prints them; with `panic=on` it panics
// after half a line.
import { consoleIsFull } from "torito/kernel/clock";
import { parameterIs, parameterNumber } from "torito/kernel/commandline";
import { print, printNumber } from "torito/kernel/console";
import { beginAtomic, endAtomic } from "torito/kernel/scheduler";
import { BeginThread, Sleep } from "torito/kernel/thread-calls";

/** Turns of the other thread. */
export const turns: usize = memory.data(4);
let flooded: bool = false;

export function main(): i32 {
  BeginThread(count, 0, 0);
  if (parameterIs("panic", "on")) {
    print("half a line");
    assert(false, "flood: enough");
  }
  if (parameterIs("flood", "host")) {
    while (!flooded) Sleep(1);
    print("afterwards\n");
  } else if (parameterIs("flood", "atomic")) {
    beginAtomic();
    flood();
    endAtomic();
    while (consoleIsFull()) Sleep(1);
    print("afterwards\n");
  } else {
    flood();
  }
  return 0;
}

/** Called by a thread, or by the host. */
export function flood(): void {
  const lines = parameterNumber("lines", 0);
  for (let i: u32 = 0; i < lines; i++) {
    printNumber(1_000_000_000 + i);
    print(" ----------------------------------------------------\n");
  }
  flooded = true;
}

function count(_: usize): void {
  while (true) {
    store<u32>(turns, load<u32>(turns) + 1);
    Sleep(1);
  }
}
