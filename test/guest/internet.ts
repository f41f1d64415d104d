// TCP/IP for tests on the host: calls that wait run in threads, and their results stand in memory.
import { useInternet, SysPing } from "torito/kernel/internet";
import { sendBytes } from "./frames";
import { ToroGetMem } from "torito/kernel/memory";
import { Sleep, SysKillThread } from "torito/kernel/thread-calls";
import { checksum } from "torito/kernel/net/inet/checksum";
import { inetStats } from "torito/kernel/net/inet/stats";
import { nowNs } from "torito/kernel/clock";
import { nextDeadline } from "torito/kernel/timer";
import { thread } from "./harness";

export { inUse } from "./harness";
export { heapBlocks } from "./books";
export { threadCount } from "torito/kernel/thread";
export { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
export { buffersInFlight } from "torito/kernel/net/link/pool";
export { SysKillThread };
export * from "./address";
export * from "./udp";

useInternet();

/** A call of SysPing, and its result once it has returned. */
@unmanaged
class Call {
  isDone: u32;
  thread: i32;
  result: i64;
  address: u32;
  bytes: u32;
  timeoutMs: u32;
  delayMs: u32; // before the request
}

/** Begins a SysPing, `delayMs` from now; the Call is the caller's. */
export function startPing(address: u32, bytes: u32, timeoutMs: u32, delayMs: u32): usize {
  const call = changetype<Call>(ToroGetMem(offsetof<Call>()));
  assert(changetype<usize>(call) != 0, "no memory");
  call.isDone = 0;
  call.address = address;
  call.bytes = bytes;
  call.timeoutMs = timeoutMs;
  call.delayMs = delayMs;
  call.thread = thread(ping, changetype<usize>(call));
  return changetype<usize>(call);
}

function ping(arg: usize): void {
  const call = changetype<Call>(arg);
  if (call.delayMs != 0) Sleep(call.delayMs);
  call.result = SysPing(call.address, call.bytes, call.timeoutMs);
  call.isDone = 1;
}

export function statsAddress(): usize {
  return changetype<usize>(inetStats());
}

export function checksumOf(address: usize, bytes: u32): u32 {
  return checksum(address, bytes);
}

/** Sends any frame. Returns the result of SysNetworkSend(). */
export function sendRaw(address: usize, bytes: u32): i32 {
  return sendBytes(address, bytes);
}

/** Milliseconds from now until the first timer is due; -1: none runs. */
export function timerInMs(): f64 {
  if (nextDeadline() == u64.MAX_VALUE) return -1;
  return <f64>(nextDeadline() - nowNs()) / 1e6;
}

/** Does any timer run? */
export function isTimerRunning(): bool {
  return nextDeadline() != u64.MAX_VALUE;
}
