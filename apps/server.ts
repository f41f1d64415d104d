// What the servers among the applications share: a listener, and a thread for each connection.
import { print, printNumber } from "../kernel/console";
import {
  SysSocket,
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
} from "../kernel/net/calls";
import { BeginThread, Sleep } from "../kernel/process";

/** When memory or handles are out: connections that end give them back. */
const PAUSE_MS: u32 = 10;

/**
 * Listens on a vsock port, and begins `thread` with each socket that it accepts, which is the
 * thread's to close. Says on the console that it listens. Yields. Returns only what keeps it from
 * listening: a negative error.
 */
export function serveForever(
  name: string,
  type: i32,
  port: u32,
  backlog: i32,
  thread: (socket: usize) => void,
): i32 {
  const listener = SysSocket(type);
  if (listener < 0) return listener;
  let status = SysSocketBind(listener, port);
  if (status == 0) status = SysSocketListen(listener, backlog);
  if (status < 0) return status;
  print(name);
  print(": listening on vsock port ");
  printNumber(port);
  print("\n");
  while (true) {
    const socket = SysSocketAccept(listener);
    if (socket < 0 || BeginThread(thread, socket, 0) < 0) {
      if (socket > 0) SysSocketClose(socket);
      Sleep(PAUSE_MS);
    }
  }
}

/** Says what failed. Returns the exit code of an application that it ends. */
export function failed(name: string, what: string, error: i32): i32 {
  print(name);
  print(": ");
  print(what);
  print(" failed with error ");
  printNumber(-error);
  print("\n");
  return 1;
}
