// HelloWorld: the smallest application.
import { kernelMain, print } from "../../kernel/api";

export { interrupt, run } from "../../kernel/api";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  print("Hello World, I am torito!\n");
  return 0;
}
