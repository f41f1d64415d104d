// Lets a test on the host make the kernel's calls one by one: each runs in a thread of its own, and
// its result stands in memory when it has returned.
import {
  SysSocket as socket,
  SysSocketAccept,
  SysSocketClose,
  SysSocketShutdown,
} from "torito/kernel/net/socket/calls";
import { SysSocketConnect } from "torito/kernel/net/socket/connect";
import { SysSocketRecvLoan } from "torito/kernel/net/socket/loan";
import { SysSocketPeek, SysSocketRecv } from "torito/kernel/net/socket/receive";
import {
  SysSocketSend,
  SysSocketSendCompletion,
  SysSocketSendVector,
} from "torito/kernel/net/socket/send";
import { SysSocketSelect } from "torito/kernel/net/socket/select";
import { socketCount } from "torito/kernel/net/socket/life";
import { socketOf } from "torito/kernel/net/socket/table";
import { VirtioDevice } from "torito/drivers/virtio";
import { vsockInit } from "torito/drivers/vsock";
import { thread } from "./harness";

export { inUse } from "./harness";
export { heapBlocks } from "./books";
export { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
export { SysKillThread } from "torito/kernel/thread-calls";
export {
  SysSocketAccept,
  SysSocketBind,
  SysSocketClose,
  SysSocketListen,
  SysSocketLocalAddress,
  SysSocketPeerAddress,
  SysSocketReceiveCounter,
  SysSocketReset,
  SysSocketShutdown,
  SysSocketStat,
} from "torito/kernel/net/socket/calls";
export { SysSocketConnect } from "torito/kernel/net/socket/connect";
export { SysSocketGetOption, SysSocketSetOption } from "torito/kernel/net/socket/options";
export { loanCount, SysSocketRelease } from "torito/kernel/net/socket/loan";
export { buffersInFlight, buffersKept } from "torito/kernel/net/link/pool";
export { SysSocketMessageFlags, SysSocketRecv } from "torito/kernel/net/socket/receive";
export { SysSocketSend } from "torito/kernel/net/socket/send";
export { AllocatePacket, FreePacket } from "torito/kernel/net/link/pool";
export { headerOf, payloadOf } from "torito/kernel/net/link/packet";
export { SysNetworkRead, SysNetworkSend, releasePacket } from "torito/kernel/net/link/interface";

export function liveSockets(): u32 {
  return socketCount();
}

const second = changetype<VirtioDevice>(memory.data(offsetof<VirtioDevice>()));

/** Starts the driver of the first slot once more. */
export function startDriver(): i32 {
  second.failed = false;
  return second.probe(0x1000_0000, 5) ? vsockInit(second) : 1;
}

/** An export has no default arguments. */
export function SysSocket(type: i32, family: i32): i32 {
  return socket(type, family);
}

/** As if this many bytes had gone in each direction already. */
export function preset(socket: i32, bytes: u32): void {
  const s = socketOf(socket);
  s.rxCnt = s.fwdCnt = s.lastFwdCnt = bytes;
  s.txCnt = s.peerFwdCnt = bytes;
}

/** As if this many calls with MSG_ZEROCOPY had been made. */
export function presetCompletion(socket: i32, calls: u32): void {
  socketOf(socket).nextCompletion = calls;
}

const enum Op {
  Accept,
  Connect,
  Recv,
  Peek,
  Send,
  Select,
  Shutdown,
  Close,
  Loan,
  SendVector,
  Completion,
  Echo,
}

@unmanaged
class Call {
  done: u32;
  result: i32;
  thread: i32;
  op: Op;
  a: u32;
  b: u32;
  c: u32;
  d: u32;
}

// Records are used in a circle, so that calls leave nothing on the heap; those of calls that have
// not returned are skipped.
const RECORDS: u32 = 1024;
const records: usize = memory.data(1024 * 32);
let next: u32 = 0;

function nextRecord(): Call {
  return changetype<Call>(records + (next++ % RECORDS) * offsetof<Call>());
}

/** Returns the address of the call's record: done u32, result i32, thread i32. */
export function start(op: u32, a: u32, b: u32, c: u32, d: u32): usize {
  let call = nextRecord();
  for (let i: u32 = 0; call.thread != 0 && call.done == 0; i++) {
    assert(i < RECORDS, "sockets: too many calls");
    call = nextRecord();
  }
  call.done = 0;
  call.op = op;
  call.a = a;
  call.b = b;
  call.c = c;
  call.d = d;
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
    case Op.Accept:
      return SysSocketAccept(call.a);
    case Op.Connect:
      return SysSocketConnect(call.a, call.b, call.c);
    case Op.Recv:
      return SysSocketRecv(call.a, call.b, call.c, call.d);
    case Op.Peek:
      return SysSocketPeek(call.a, call.b, call.c, call.d);
    case Op.Send:
      return SysSocketSend(call.a, call.b, call.c, call.d);
    case Op.Select:
      return SysSocketSelect(call.a, call.b, <i32>call.c);
    case Op.Shutdown:
      return SysSocketShutdown(call.a, call.b);
    case Op.Close:
      return SysSocketClose(call.a);
    case Op.Loan:
      return SysSocketRecvLoan(call.a, call.b, call.c, call.d);
    case Op.SendVector:
      return SysSocketSendVector(call.a, call.b, call.c, call.d);
    case Op.Completion:
      return SysSocketSendCompletion(call.a, call.b, call.c);
    case Op.Echo:
      return SysSocketSend(call.a, call.b, SysSocketRecv(call.a, call.b, call.c, 0), call.d);
    default:
      assert(false, "sockets: no such call");
      return 0;
  }
}
