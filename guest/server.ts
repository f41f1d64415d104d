// What the servers among the applications share: a listener, and a thread for each connection.
import {
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

/** When memory or handles are out: connections that end give them back. */
const PAUSE_MS: u32 = 10;

function noRoom(): bool {
  return false;
}

/**
 * Listens on a vsock port, and begins `thread` with each socket that it accepts, which is the
 * thread's to close. When there is no memory for a thread, `makeRoom` may free some, perhaps by
 * ending another, and says whether it has. Says on the console that it listens. Yields. Returns
 * only what keeps it from listening: a negative error.
 */
export function serveForever(
  name: string,
  type: i32,
  port: u32,
  backlog: i32,
  thread: (socket: usize) => void,
  makeRoom: () => bool = noRoom,
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
    if (socket < 0 || !begin(thread, socket, makeRoom)) {
      if (socket > 0) SysSocketClose(socket);
      Sleep(PAUSE_MS);
    }
  }
}

function begin(thread: (socket: usize) => void, socket: i32, makeRoom: () => bool): bool {
  while (BeginThread(thread, socket, 0) < 0) {
    if (!makeRoom()) return false;
    SysThreadSwitch(); // who was ended gives its memory back
  }
  return true;
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
