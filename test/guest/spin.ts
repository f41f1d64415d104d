// An application with a thread that yields for ever.
import { print } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";
import { SysThreadSwitch } from "../../kernel/thread-calls";

export { interrupt, run } from "../../kernel/main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  print("spinning\n");
  while (true) SysThreadSwitch();
}
