// An application that fails, for the report of it.
import { kernelMain } from "../../kernel/main";
import { Sleep } from "../../kernel/thread-calls";

export { interrupt, run } from "../../kernel/main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  Sleep(1);
  return inspect(4);
}

function inspect(wheels: i32): i32 {
  assert(wheels == 3, "the fourth wheel");
  return wheels;
}
