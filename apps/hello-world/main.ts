// HelloWorld: the smallest application.
import { print } from "torito/kernel/api";

export function main(): i32 {
  print("Hello World, I am torito!\n");
  return 0;
}
