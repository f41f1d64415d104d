// HashTableServer: keys and values over HTTP. GET /key=value stores, GET /key reads, GET / says how
// many keys there are. Kernel parameters: port=80, slots=10000.
import { parameterNumber } from "../../kernel/commandline";
import { print, printNumber } from "../../kernel/console";
import { kernelMain } from "../../kernel/main";
import {
  SOCK_STREAM,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "../../kernel/net/calls";
import { BeginThread, Sleep } from "../../kernel/process";
import { serve } from "./connection";
import { tableInit } from "./table";

export { interrupt, run } from "../../kernel/main";

const BACKLOG: i32 = 128;
/** When memory or handles are out: connections that end give them back. */
const PAUSE_MS: u32 = 10;

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  const port = parameterNumber("port", 80);
  const listener = SysSocket(SOCK_STREAM);
  let status = tableInit(parameterNumber("slots", 10_000));
  if (status == 0 && listener < 0) status = listener;
  if (status == 0) status = SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, BACKLOG);
  if (status < 0) {
    print("HashTableServer: cannot listen, error ");
    printNumber(-status);
    print("\n");
    return 1;
  }
  print("HashTableServer: listening on vsock port ");
  printNumber(port);
  print("\n");
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0 || BeginThread(serve, socket, 0) < 0) {
      if (socket > 0) SysSocketClose(socket);
      Sleep(PAUSE_MS);
    }
  }
}
