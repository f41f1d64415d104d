// One seqpacket connection of the echo. A buffer as large as the window holds any message.
import {
  MSG_EOR,
  SO_RCVBUF,
  SysSocketClose,
  SysSocketGetOption,
  SysSocketMessageFlags,
  SysSocketRecv,
  SysSocketSend,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";

/** The thread of a connection. */
export function serveMessages(arg: usize): void {
  const socket = <i32>arg;
  const bytes = SysSocketGetOption(socket, SO_RCVBUF);
  const buffer = bytes > 0 ? ToroGetMem(bytes) : 0;
  if (buffer != 0) {
    while (echo(socket, buffer, bytes));
    ToroFreeMem(buffer);
  }
  SysSocketClose(socket);
}

/** Sends one message back. Yields. Returns false at the end of the connection. */
function echo(socket: i32, buffer: usize, bytes: u32): bool {
  const length = SysSocketRecv(socket, buffer, bytes, 0);
  if (length <= 0) return false;
  const marks = SysSocketMessageFlags(socket) & MSG_EOR;
  return SysSocketSend(socket, buffer, length, marks) == length;
}
