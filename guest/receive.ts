// Receiving from a socket: with a deadline, by lines, and after the last answer.
import {
  Errno,
  MSG_DONTWAIT,
  NEVER,
  nowNs,
  NS_PER_MS,
  SO_RCVTIMEO,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSetOption,
  SysSocketShutdown,
} from "../kernel/api";

const LF: u32 = 10;
const SHUTDOWN_SEND: i32 = 1;
/** For what a client may still send after its last answer. */
const LINGER_MS: u64 = 2000;
const LINGER_BYTES_MAX: u64 = 262144;
/** Receives discarded bytes; all connections share it. */
const SINK_BYTES: u32 = 4096;
const sink: usize = memory.data(4096);

/**
 * As SysSocketRecv, or as SysSocketPeek, up to a deadline, after which it returns -EAGAIN. NEVER
 * leaves the socket's own time-out as it is. Yields.
 */
export function receiveBy(
  socket: i32,
  at: usize,
  bytes: u32,
  deadlineNs: u64,
  peek: bool = false,
): i32 {
  if (deadlineNs != NEVER) {
    const now = nowNs();
    if (now >= deadlineNs) return -Errno.EAGAIN;
    SysSocketSetOption(socket, SO_RCVTIMEO, <u32>((deadlineNs - now) / NS_PER_MS) + 1);
  }
  return peek ? SysSocketPeek(socket, at, bytes, 0) : SysSocketRecv(socket, at, bytes, 0);
}

/** As discardBy(), of bytes that are there: otherwise -EAGAIN. Does not yield. */
export function discardNow(socket: i32, bytes: u64): i32 {
  return SysSocketRecv(socket, sink, <u32>min<u64>(bytes, SINK_BYTES), MSG_DONTWAIT);
}

/** Receives up to `bytes` bytes and forgets them. Yields. Returns how many, 0 or an error. */
export function discardBy(socket: i32, bytes: u64, deadlineNs: u64): i32 {
  return receiveBy(socket, sink, <u32>min<u64>(bytes, SINK_BYTES), deadlineNs);
}

/**
 * Receives a line, up to its LF, and nothing after it. Yields. Returns its bytes; 0 at the end of
 * the stream; -EPROTO at an end within the line; -EMSGSIZE when `bytesMax` bytes hold no LF; or
 * another error.
 */
export function receiveLine(socket: i32, at: usize, bytesMax: u32, deadlineNs: u64): i32 {
  let used: u32 = 0;
  while (used < bytesMax) {
    const seen = receiveBy(socket, at + used, bytesMax - used, deadlineNs, true);
    if (seen <= 0) return seen == 0 && used != 0 ? -Errno.EPROTO : seen;
    let fresh: u32 = 0; // of these bytes, those of the line
    while (fresh < <u32>seen && load<u8>(at + used + fresh) != LF) fresh++;
    const isWhole = fresh < <u32>seen;
    if (isWhole) fresh++;
    SysSocketRecv(socket, at + used, fresh, 0);
    used += fresh;
    if (isWhole) return used;
  }
  return -Errno.EMSGSIZE;
}

/**
 * Ends sending, and reads on until the client ends, but for no more than 2 s and 256 KiB: closing
 * with unread bytes would reset the connection, and the client might lose the end of the answer
 * (RFC 9112, 9.6). Yields.
 */
export function linger(socket: i32): void {
  if (SysSocketShutdown(socket, SHUTDOWN_SEND) < 0) return;
  const deadline = nowNs() + LINGER_MS * NS_PER_MS;
  let left = LINGER_BYTES_MAX;
  while (left > 0) {
    const got = discardBy(socket, left, deadline);
    if (got <= 0) return;
    left -= got;
  }
}
