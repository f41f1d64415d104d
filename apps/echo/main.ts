// Echo: sends back what it receives, a thread per connection. Data is borrowed where the device has
// put it and sent from there, so that large packets are not copied. Kernel parameters: port=7,
// type=seqpacket for messages.
import { parameterIs, parameterNumber } from "../../kernel/commandline";
import { print, printNumber } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";
import {
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "../../kernel/net/calls";
import { BeginThread, Sleep } from "../../kernel/process";
import { serve } from "./connection";
import { serveMessages } from "./messages";

export { interrupt, run } from "../../kernel/main";

const BACKLOG: i32 = 128;

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  const port = parameterNumber("port", 7);
  const messages = parameterIs("type", "seqpacket");
  const listener = SysSocket(messages ? SOCK_SEQPACKET : SOCK_STREAM);
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
    if (socket < 0 || BeginThread(messages ? serveMessages : serve, socket, 0) < 0) {
      // Memory or handles are out. Connections that end give them back.
      if (socket > 0) SysSocketClose(socket);
      Sleep(10);
    }
  }
}
