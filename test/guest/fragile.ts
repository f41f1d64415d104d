// A server that answers each byte with itself; it panics, or never returns, when it is told to.
import { serveForever } from "torito/guest/server";
import {
  SOCK_STREAM,
  SysSocketClose,
  SysSocketRecv,
  SysSocketSend,
} from "torito/kernel/api";

const PORT: u32 = 80;
const BACKLOG: i32 = 64;
const BOOM: u32 = 0x21; // !
const STUCK: u32 = 0x7e; // ~

function serve(socket: usize): void {
  const byte = memory.data(1);
  while (SysSocketRecv(<i32>socket, byte, 1, 0) == 1) {
    assert(load<u8>(byte) != BOOM, "told to panic");
    while (load<u8>(byte) == STUCK) {}
    SysSocketSend(<i32>socket, byte, 1, 0);
  }
  SysSocketClose(<i32>socket);
}

export function main(): i32 {
  return serveForever("Fragile", SOCK_STREAM, PORT, BACKLOG, serve);
}
