// One connection of the echo.
import { SysSocketClose, SysSocketRecv, SysSocketSend } from "torito/kernel/api";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/api";

const BUFFER_BYTES: u32 = 16384;

/** The thread of a connection. Calls return a negative error, and 0 at the end of the stream. */
export function echo(arg: usize): void {
  const socket = <i32>arg;
  const buffer = ToroGetMem(BUFFER_BYTES);
  if (buffer != 0) {
    while (sendBack(socket, buffer)) {}
    ToroFreeMem(buffer);
  }
  SysSocketClose(socket);
}

/** Returns false when there is nothing more to come. */
function sendBack(socket: i32, buffer: usize): bool {
  const bytes = SysSocketRecv(socket, buffer, BUFFER_BYTES, 0);
  return bytes > 0 && SysSocketSend(socket, buffer, bytes, 0) == bytes;
}
