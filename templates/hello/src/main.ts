// {{name}}: prints a line and ends. The kernel calls main() in the first thread; what it returns is
// the exit code of the machine.
import { print } from "torito/guest";
import { greeting } from "./greeting";

export function main(): i32 {
  print(greeting("world") + "\n");
  return 0;
}
