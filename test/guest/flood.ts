// Prints `lines` numbered lines of 64 bytes from a thread that never gives way of its own accord,
// while another thread counts its turns. With `boot=on` the lines come where nobody can wait, with
// `panic=on` half a line does.
import { parameterIs, parameterNumber } from "../../kernel/commandline";
import { print, printNumber } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";
import { BeginThread, Sleep } from "../../kernel/thread-calls";

export { interrupt, run } from "../../kernel/main";

/** Turns of the other thread. */
export const turns: usize = memory.data(4);

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
  if (parameterIs("boot", "on")) flood();
}

function main(): i32 {
  BeginThread(count, 0, 0);
  if (parameterIs("panic", "on")) {
    print("half a line");
    assert(false, "flood: enough");
  }
  if (parameterIs("boot", "on")) print("afterwards\n");
  else flood();
  return 0;
}

function flood(): void {
  const lines = parameterNumber("lines", 0);
  for (let i: u32 = 0; i < lines; i++) {
    printNumber(1_000_000_000 + i);
    print(" ----------------------------------------------------\n");
  }
}

function count(_: usize): void {
  while (true) {
    store<u32>(turns, load<u32>(turns) + 1);
    Sleep(1);
  }
}
