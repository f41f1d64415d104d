// An application with a thread that yields for ever.
import { print } from "torito/kernel/console";
import { SysThreadSwitch } from "torito/kernel/thread-calls";

export function main(): i32 {
  print("spinning\n");
  while (true) SysThreadSwitch();
}
