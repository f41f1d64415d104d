// Ping-pong: connects to an echo, and the guest times round trips. Kernel parameters:
// cid=2 (the host), or to= with net=inet, and port=7 of the echo, type=seqpacket for messages,
// size= in bytes, count=.
import {
  AF_VSOCK,
  clock,
  parameterIs,
  parameterNumber,
  print,
  printNumber,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SysSocket,
  SysSocketClose,
  SysSocketConnect,
  SysSocketRecv,
  SysSocketSend,
  ToroGetAlignedMem,
  VMADDR_CID_HOST,
} from "torito/kernel/api";
import { parameterAddress } from "torito/kernel/internet";
import { networkFamily } from "torito/guest/network";
import { failed } from "torito/guest/server";

const NAME = "ping-pong";
const SIZE_MAX: u32 = 1048576;

export function main(): i32 {
  const size = min(max<u32>(parameterNumber("size", 64), 1), SIZE_MAX);
  const count = parameterNumber("count", 1000);
  const out = ToroGetAlignedMem(size, 4096);
  const back = ToroGetAlignedMem(size, 4096);
  const isSeqpacket = parameterIs("type", "seqpacket");
  const socket = SysSocket(isSeqpacket ? SOCK_SEQPACKET : SOCK_STREAM, networkFamily());
  const connected = SysSocketConnect(socket, peer(), parameterNumber("port", 7));
  if (out == 0 || back == 0) return failed(NAME, "memory", -12);
  if (connected < 0) return failed(NAME, "connect", connected);
  fill(out, size);
  const started = clock();
  for (let i: u32 = 0; i < count; i++) {
    const status = roundTrip(socket, out, back, size);
    if (status < 0) return failed(NAME, "round trip", status);
  }
  const ns = clock() - started;
  SysSocketClose(socket);
  if (memory.compare(out, back, size) != 0) return failed(NAME, "contents", -74);
  report(count, size, ns);
  return 0;
}

/** The CID or the IPv4 address of the echo. */
function peer(): u32 {
  if (networkFamily() == AF_VSOCK) return parameterNumber("cid", VMADDR_CID_HOST);
  return parameterAddress("to");
}

function fill(at: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i++) store<u8>(at + i, <u8>(i * 31));
}

/** Sends all and receives as much. Yields. Returns 0 or an error. */
function roundTrip(socket: i32, out: usize, back: usize, size: u32): i32 {
  const sent = SysSocketSend(socket, out, size, 0);
  if (sent < 0) return sent;
  for (let at: u32 = 0; at < size; ) {
    const got = SysSocketRecv(socket, back + at, size - at, 0);
    if (got <= 0) return got == 0 ? -104 : got;
    at += got;
  }
  return 0;
}

function report(count: u32, size: u32, ns: u64): void {
  print("ping-pong: ");
  printNumber(count);
  print(" round trips of ");
  printNumber(size);
  print(" bytes, ");
  printNumber(count == 0 ? 0 : ns / count);
  print(" ns each\n");
}
