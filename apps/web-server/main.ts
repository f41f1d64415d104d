// WebServer: serves a directory of the host, mounted by virtio-fs, to HTTP/1.1 clients over vsock.
// Kernel parameters: port=80 (of vsock), root=site (tag of the directory), idle= and head=
// (time-outs in milliseconds).
import { SysMount } from "../../kernel/fs/calls";
import { kernelParameter, parameterBytes, parameterNumber } from "../../kernel/commandline";
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
import { serveConnection, setTimeouts } from "./connection";

export { interrupt, run } from "../../kernel/main";

const BACKLOG: i32 = 1024;
const ROOT_DEFAULT: usize = memory.data<u8>([0x73, 0x69, 0x74, 0x65]); // "site"
const SLASH: usize = memory.data<u8>([0x2f]);

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, main);
}

function main(): i32 {
  setTimeouts(parameterNumber("idle", 15_000), parameterNumber("head", 10_000));
  const tag = kernelParameter("root");
  const mounted = tag == 0
    ? SysMount(ROOT_DEFAULT, 4, SLASH, 1)
    : SysMount(tag, parameterBytes(tag), SLASH, 1);
  if (mounted < 0) return failed("mount", mounted);
  const port = parameterNumber("port", 80);
  const listener = SysSocket(SOCK_STREAM);
  if (listener < 0) return failed("socket", listener);
  let status = SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, BACKLOG);
  if (status < 0) return failed("listen", status);
  print("WebServer: listening on vsock port ");
  printNumber(port);
  print("\n");
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0 || BeginThread(serveConnection, socket, 0) < 0) {
      // Memory or handles are out. Connections that end give them back.
      if (socket > 0) SysSocketClose(socket);
      Sleep(10);
    }
  }
}

function failed(what: string, error: i32): i32 {
  print("WebServer: ");
  print(what);
  print(" failed with error ");
  printNumber(-error);
  print("\n");
  return 1;
}
