// An application that sends and returns at once, without closing.
import { VMADDR_CID_HOST } from "../../abi/vsock";
import { kernelMain } from "../../kernel/main";
import { ToroAllocMem } from "../../kernel/memory";
import { SOCK_STREAM } from "../../kernel/net/socket/flags";
import { SysSocket } from "../../kernel/net/socket/calls";
import { SysSocketConnect } from "../../kernel/net/socket/connect";
import { SysSocketSend } from "../../kernel/net/socket/send";

export { interrupt, run } from "../../kernel/main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  const socket = SysSocket(SOCK_STREAM);
  if (SysSocketConnect(socket, VMADDR_CID_HOST, 9) < 0) return 1;
  return SysSocketSend(socket, ToroAllocMem(100_000), 100_000, 0) == 100_000 ? 0 : 2;
}
