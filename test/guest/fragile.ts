// A server that answers each byte with itself; it panics, or never returns, when it is told to.
import { serveForever } from "torito/guest/server";
import {
  CounterKind,
  SOCK_STREAM,
  SysCounter,
  SysSocketClose,
  SysSocketRecv,
  SysSocketSend,
  text,
} from "torito/kernel/api";

const PORT: u32 = 80;
const BACKLOG: i32 = 64;
const BOOM: u32 = 0x21; // !
const STUCK: u32 = 0x7e; // ~

let answered: usize = 0;
let clients: usize = 0;

function serve(socket: usize): void {
  const byte = memory.data(1);
  store<u64>(clients, load<u64>(clients) + 1);
  while (SysSocketRecv(<i32>socket, byte, 1, 0) == 1) {
    assert(load<u8>(byte) != BOOM, "told to panic");
    while (load<u8>(byte) == STUCK) {}
    SysSocketSend(<i32>socket, byte, 1, 0);
    store<u64>(answered, load<u64>(answered) + 1);
  }
  store<u64>(clients, load<u64>(clients) - 1);
  SysSocketClose(<i32>socket);
}

export function main(): i32 {
  answered = SysCounter(CounterKind.Counter, text("fragile_bytes_total"), text("Bytes."));
  clients = SysCounter(CounterKind.Gauge, text("fragile_clients"), text("Clients."));
  return serveForever("Fragile", SOCK_STREAM, PORT, BACKLOG, serve);
}
