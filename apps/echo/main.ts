// Echo: sends back what it receives, a thread per connection. Kernel parameter: port=7.
import { parameterNumber } from "../../kernel/commandline";
import { print, printNumber } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";
import { ToroFreeMem, ToroGetAlignedMem } from "../../kernel/memory";
import {
  SOCK_STREAM,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "../../kernel/net/calls";
import { SysSocketRecv } from "../../kernel/net/receive";
import { SysSocketSend } from "../../kernel/net/send";
import { BeginThread, Sleep } from "../../kernel/process";

export { interrupt, run } from "../../kernel/main";

const BACKLOG: i32 = 128;
const BUFFER_BYTES: u32 = 65536;

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  const port = parameterNumber("port", 7);
  const listener = SysSocket(SOCK_STREAM);
  let status = listener < 0 ? listener : SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, BACKLOG);
  if (status < 0) {
    print("echo: cannot listen, error ");
    printNumber(-status);
    print("\n");
    return 1;
  }
  print("echo: listening on vsock port ");
  printNumber(port);
  print("\n");
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0 || BeginThread(serve, socket, 0) < 0) {
      // Memory or handles are out. Connections that end give them back.
      if (socket > 0) SysSocketClose(socket);
      Sleep(10);
    }
  }
}

function serve(arg: usize): void {
  const socket = <i32>arg;
  const buffer = ToroGetAlignedMem(BUFFER_BYTES, 4096);
  while (buffer != 0) {
    const got = SysSocketRecv(socket, buffer, BUFFER_BYTES, 0);
    if (got <= 0 || SysSocketSend(socket, buffer, got, 0) != got) break;
  }
  ToroFreeMem(buffer);
  SysSocketClose(socket);
}
