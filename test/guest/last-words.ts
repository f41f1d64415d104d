// An application that sends and returns at once, without closing.
import { VMADDR_CID_HOST } from "torito/abi/vsock";
import { ToroAllocMem } from "torito/kernel/memory";
import { SOCK_STREAM } from "torito/kernel/net/socket/flags";
import { SysSocket } from "torito/kernel/net/socket/calls";
import { SysSocketConnect } from "torito/kernel/net/socket/connect";
import { SysSocketSend } from "torito/kernel/net/socket/send";

export function main(): i32 {
  const socket = SysSocket(SOCK_STREAM);
  if (SysSocketConnect(socket, VMADDR_CID_HOST, 9) < 0) return 1;
  return SysSocketSend(socket, ToroAllocMem(100_000), 100_000, 0) == 100_000 ? 0 : 2;
}
