// HelloWorld: the smallest application.
import { print } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";

export { interrupt, run } from "../../kernel/main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  print("Hello World, I am torito!\n");
  return 0;
}
