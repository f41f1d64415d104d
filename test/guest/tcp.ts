// Sockets of TCP for tests on the host: the calls of sockets.ts, and what TCP has beside them.
import { useInternet } from "torito/kernel/internet";
import { socketOf } from "torito/kernel/net/socket/table";
import { inetStats } from "torito/kernel/net/inet/stats";
import { sendQueuesBytes } from "torito/kernel/net/inet/tcp/send-queue";
import { TCP_BYTES, tcbOf } from "torito/kernel/net/inet/tcp/tcb";
import { timeWaitCount } from "torito/kernel/net/inet/tcp/time-wait-table";
import { SOCKET_BYTES } from "torito/kernel/net/socket/socket";
import { nextDeadline } from "torito/kernel/timer";

export * from "./sockets";
export { SysTcpGetOption, SysTcpSetOption } from "torito/kernel/net/inet/tcp/tcp-options";
export { SysTcpInfo } from "torito/kernel/net/inet/tcp/info";
export { sendQueuesBytes, timeWaitCount };

useInternet();

export function statsAddress(): usize {
  return changetype<usize>(inetStats());
}

/** As if this many bytes had been sent and acknowledged; nothing is queued. */
export function skipNumbers(socket: i32, bytes: u32): void {
  const t = tcbOf(socketOf(socket));
  t.una += bytes;
  t.nxt = t.top = t.end = t.una;
}

/** Does any timer run? */
export function isTimerRunning(): bool {
  return nextDeadline() != u64.MAX_VALUE;
}

export function socketBytes(): u32 {
  return <u32>SOCKET_BYTES + TCP_BYTES;
}

export function tcpState(socket: i32): u32 {
  return tcbOf(socketOf(socket)).state;
}

export function congestionWindow(socket: i32): u32 {
  return tcbOf(socketOf(socket)).cwnd;
}

export function slowStartThreshold(socket: i32): u32 {
  return tcbOf(socketOf(socket)).ssthresh;
}

export function peerWindow(socket: i32): u32 {
  return tcbOf(socketOf(socket)).wnd;
}

export function retransmits(socket: i32): u32 {
  return tcbOf(socketOf(socket)).retransmits;
}
