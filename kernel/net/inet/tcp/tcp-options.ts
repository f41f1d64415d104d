// Options of TCP sockets. Numbers and meanings are Linux's, at level IPPROTO_TCP, but that one call
// serves all levels, so they begin at TCP_OPTIONS.
import { Errno } from "../../../../abi/errno";
import { IPPROTO_TCP } from "../../../../abi/ip";
import { NO_SOCKET, Socket, SocketState } from "../../socket/socket";
import { socketOf } from "../../socket/table";
import { output } from "./output";
import { Tcb, tcbOf, TcpState, TimerKind } from "./tcb";
import { rest } from "./timers";

const TCP_OPTIONS: i32 = 0x600;
/** 1: a small segment does not wait for the acknowledgement of the one before. */
export const TCP_NODELAY: i32 = TCP_OPTIONS + 1;
/** Milliseconds of silence before the first probe, between probes, and probes without an answer. */
export const TCP_KEEPIDLE: i32 = TCP_OPTIONS + 4;
export const TCP_KEEPINTVL: i32 = TCP_OPTIONS + 5;
export const TCP_KEEPCNT: i32 = TCP_OPTIONS + 6;
/** Milliseconds for which data may be without an acknowledgement; 0: as long as is retried. */
export const TCP_USER_TIMEOUT: i32 = TCP_OPTIONS + 18;
/** 1: asks a peer that is silent whether it lives. */
export const SO_KEEPALIVE: i32 = TCP_OPTIONS + 9;

const KEEP_IDLE_MS: u32 = 7_200_000;
const KEEP_INTERVAL_MS: u32 = 75_000;
const KEEP_COUNT: u8 = 9;
/** More are as many. */
const KEEP_COUNT_MAX: u32 = 127;

export function presetTcpOptions(t: Tcb): void {
  t.keepIdleMs = KEEP_IDLE_MS;
  t.keepIntervalMs = KEEP_INTERVAL_MS;
  t.keepCount = KEEP_COUNT;
}

export function inheritTcpOptions(s: Socket, listener: Socket): void {
  const t = tcbOf(s);
  const from = tcbOf(listener);
  t.noDelay = from.noDelay;
  t.keepsAlive = from.keepsAlive;
  t.keepIdleMs = from.keepIdleMs;
  t.keepIntervalMs = from.keepIntervalMs;
  t.keepCount = from.keepCount;
  t.userTimeoutMs = from.userTimeoutMs;
}

/** Sets an option of a TCP socket. Returns 0, -EBADF or -EINVAL. Does not yield. */
export function SysTcpSetOption(socket: i32, option: i32, value: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol != IPPROTO_TCP || <i32>value < 0) return -Errno.EINVAL;
  const t = tcbOf(s);
  switch (option) {
    case TCP_NODELAY:
      t.noDelay = value != 0;
      if (s.state == SocketState.Connected) output(s);
      return 0;
    case TCP_USER_TIMEOUT:
      t.userTimeoutMs = value;
      return 0;
    case SO_KEEPALIVE:
      t.keepsAlive = value != 0;
      break;
    case TCP_KEEPIDLE:
      t.keepIdleMs = max<u32>(value, 1);
      break;
    case TCP_KEEPINTVL:
      t.keepIntervalMs = max<u32>(value, 1);
      break;
    case TCP_KEEPCNT:
      t.keepCount = <u8>min<u32>(max<u32>(value, 1), KEEP_COUNT_MAX);
      break;
    default:
      return -Errno.EINVAL;
  }
  const isResting = t.timerKind == TimerKind.None || t.timerKind == TimerKind.KeepAlive;
  if (t.state >= TcpState.Established && isResting) rest(s);
  return 0;
}

/** The value of an option, or -EBADF, -EINVAL. Does not yield. */
export function SysTcpGetOption(socket: i32, option: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol != IPPROTO_TCP) return -Errno.EINVAL;
  const t = tcbOf(s);
  switch (option) {
    case TCP_NODELAY:
      return t.noDelay;
    case TCP_USER_TIMEOUT:
      return t.userTimeoutMs;
    case SO_KEEPALIVE:
      return t.keepsAlive;
    case TCP_KEEPIDLE:
      return t.keepIdleMs;
    case TCP_KEEPINTVL:
      return t.keepIntervalMs;
    case TCP_KEEPCNT:
      return t.keepCount;
    default:
      return -Errno.EINVAL;
  }
}
