// Datagram sockets for tests on the host: calls that wait run in threads, and their results stand
// in memory.
import { AF_INET } from "torito/kernel/net/socket/flags";
import { SocketAddress, SysSocket } from "torito/kernel/net/socket/calls";
import { SysSocketConnect } from "torito/kernel/net/socket/connect";
import { SysSocketRecvLoan } from "torito/kernel/net/socket/loan";
import { SysSocketRecv } from "torito/kernel/net/socket/receive";
import { SysSocketSend } from "torito/kernel/net/socket/send";
import { SysSocketSelect } from "torito/kernel/net/socket/select";
import { SysSocketRecvFrom, SysSocketSendTo } from "torito/kernel/internet";
import { socketCount } from "torito/kernel/net/socket/life";
import { thread } from "./harness";

export * from "./internet";
export {
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
  SysSocketLocalAddress,
  SysSocketPeerAddress,
  SysSocketReset,
  SysSocketShutdown,
  SysSocketStat,
} from "torito/kernel/net/socket/calls";
export { SysSocketGetOption, SysSocketSetOption } from "torito/kernel/net/socket/options";

export function openSocket(type: i32): i32 {
  return SysSocket(type, AF_INET);
}

export function liveSockets(): u32 {
  return socketCount();
}

const enum Op {
  SendTo,
  RecvFrom,
  Recv,
  Connect,
  Select,
  Loan,
  Send,
}

@unmanaged
class Call {
  done: u32;
  result: i32;
  thread: i32;
  address: u32; // a SocketAddress: where it goes, or came from
  port: u32;
  op: Op;
  socket: i32;
  buffer: usize;
  length: u32;
  flags: u32;
}

// Records are used in a circle, so that calls leave nothing on the heap.
const RECORDS: u32 = 256;
const records: usize = memory.data(256 * 40);
if (offsetof<Call>() != 40) ERROR("udp-sockets: wrong size of a record");
let next: u32 = 0;

/** Returns the address of the call's record. */
export function start(
  op: u32,
  socket: i32,
  buffer: usize,
  length: u32,
  address: u32,
  port: u32,
  flags: u32,
): usize {
  const call = changetype<Call>(records + (next++ % RECORDS) * offsetof<Call>());
  call.done = 0;
  call.op = op;
  call.socket = socket;
  call.buffer = buffer;
  call.length = length;
  call.address = address;
  call.port = port;
  call.flags = flags;
  call.thread = thread(perform, changetype<usize>(call));
  return changetype<usize>(call);
}

function perform(arg: usize): void {
  const call = changetype<Call>(arg);
  call.result = dispatch(call);
  call.done = 1;
}

function dispatch(call: Call): i32 {
  switch (call.op) {
    case Op.SendTo:
      return SysSocketSendTo(
        call.socket, call.buffer, call.length, call.address, call.port, call.flags,
      );
    case Op.RecvFrom:
      return SysSocketRecvFrom(
        call.socket, call.buffer, call.length, originOf(call), call.flags,
      );
    case Op.Recv:
      return SysSocketRecv(call.socket, call.buffer, call.length, call.flags);
    case Op.Connect:
      return SysSocketConnect(call.socket, call.address, call.port);
    case Op.Loan:
      return SysSocketRecvLoan(call.socket, call.buffer, call.length, call.flags);
    case Op.Send:
      return SysSocketSend(call.socket, call.buffer, call.length, call.flags);
    default:
      return SysSocketSelect(call.buffer, call.length, <i32>call.flags);
  }
}

/** The two words of the record as a SocketAddress. */
function originOf(call: Call): usize {
  if (offsetof<SocketAddress>() != 8) ERROR("udp-sockets: wrong size of an address");
  return changetype<usize>(call) + offsetof<Call>("address");
}
