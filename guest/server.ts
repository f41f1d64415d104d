// The main loop of a server: a listener, and a thread for each connection.
import {
  AF_INET,
  BeginThread,
  print,
  printNumber,
  Sleep,
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
  SysThreadSwitch,
} from "../kernel/api";
import { SysTcpSetOption, TCP_NODELAY } from "../kernel/internet";
import { networkFamily, reportListening } from "./network";

/** Pause when memory or handles are out; connections that end free some. */
const PAUSE_MS: u32 = 10;

/** There is nothing to free. */
export function noRoom(): bool {
  return false;
}

/**
 * Listens on a port of vsock, or of TCP (network.ts), reports that on the console, and starts
 * `thread` with each accepted socket, which the thread closes. When there is no memory for a
 * thread, `makeRoom` may free some, perhaps by ending another thread, and returns whether it has.
 * `stackBytes` as for BeginThread. Yields. Returns only if it cannot listen: a negative error.
 */
export function serveForever(
  name: string,
  type: i32,
  port: u32,
  backlog: i32,
  thread: (socket: usize) => void,
  makeRoom: () => bool = noRoom,
  stackBytes: u32 = 0,
): i32 {
  const listener = SysSocket(type, networkFamily());
  if (listener < 0) return listener;
  if (networkFamily() == AF_INET) SysTcpSetOption(listener, TCP_NODELAY, 1);
  let status = SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, backlog);
  if (status < 0) return status;
  reportListening(name, port);
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0 || !start(thread, socket, makeRoom, stackBytes)) {
      if (socket > 0) SysSocketClose(socket);
      Sleep(PAUSE_MS);
    }
  }
}

function start(
  thread: (socket: usize) => void,
  socket: i32,
  makeRoom: () => bool,
  stackBytes: u32,
): bool {
  while (BeginThread(thread, socket, stackBytes) < 0) {
    if (!makeRoom()) return false;
    SysThreadSwitch(); // a thread that was ended frees its memory
  }
  return true;
}

/** Reports a failure. Returns the exit code for the application. */
export function failed(name: string, what: string, error: i32): i32 {
  print(name);
  print(": ");
  print(what);
  print(" failed with error ");
  printNumber(-error);
  print("\n");
  return 1;
}
