// One connection, one thread: reads requests, answers each, until one side has had enough. While a
// connection says nothing it holds no buffer.
import { Errno } from "../../drivers/abi/errno";
import { nowNs, NS_PER_MS } from "../../kernel/clock";
import { ToroFreeMem, ToroGetMem } from "../../kernel/memory";
import { SysSocketClose, SysSocketShutdown } from "../../kernel/net/calls";
import { SO_RCVTIMEO, SO_SNDTIMEO, SysSocketSetOption } from "../../kernel/net/options";
import { SysSocketPeek, SysSocketRecv } from "../../kernel/net/receive";
import { answer, refuse } from "./answer";
import { HEAD_BYTES_MAX, parseRequest } from "./request";
import { inputOf, requestOf, Work, WORK_BYTES } from "./work";

/** How long a connection may stay without a request, and a request without the end of its head. */
let idleTimeoutMs: u32 = 15_000;
let headTimeoutMs: u32 = 10_000;
/**
 * How long a client may show no progress: what the host is writing shows none until all of it is
 * taken, which may be a quarter of a megabyte.
 */
const SEND_TIMEOUT_MS: u32 = 60_000;
/** How long what a client sends on, after the answer that ends its connection, is still read. */
const LINGER_MS: u32 = 5_000;
const SHUTDOWN_SEND: i32 = 1;

export function setTimeouts(idleMs: u32, headMs: u32): void {
  idleTimeoutMs = idleMs;
  headTimeoutMs = headMs;
}

const peeked: usize = memory.data(16);

/** The thread of a connection. */
export function serveConnection(socket: usize): void {
  const s = <i32>socket;
  SysSocketSetOption(s, SO_SNDTIMEO, SEND_TIMEOUT_MS);
  while (true) {
    SysSocketSetOption(s, SO_RCVTIMEO, idleTimeoutMs);
    if (SysSocketPeek(s, peeked, 1, 0) <= 0) break;
    const work = changetype<Work>(ToroGetMem(WORK_BYTES));
    if (changetype<usize>(work) == 0) break;
    work.socket = s;
    work.used = 0;
    const again = serveRequests(work);
    ToroFreeMem(changetype<usize>(work));
    if (!again) break;
  }
  SysSocketClose(s);
}

/** Serves what has arrived, pipelined requests too. Returns false when the connection is to end. */
function serveRequests(work: Work): bool {
  while (true) {
    const head = readHead(work);
    if (head == 0) return false;
    if (head < 0) {
      refuse(work, <u32>-head);
      linger(work);
      return false;
    }
    if (!answer(work)) {
      if (requestOf(work).hasBody) linger(work);
      return false;
    }
    const rest = work.used - <u32>head;
    work.used = rest;
    if (rest == 0) return true;
    memory.copy(inputOf(work), inputOf(work) + head, rest);
  }
}

/**
 * Reads until a whole head is in the buffer. Yields. Returns its length, 0 when the client has gone
 * or said nothing, or a negative HTTP status.
 */
function readHead(work: Work): i32 {
  const deadline = nowNs() + <u64>headTimeoutMs * NS_PER_MS;
  while (true) {
    if (work.used != 0) {
      const head = parseRequest(inputOf(work), work.used, requestOf(work));
      if (head != 0) return head;
    }
    const got = receive(work, work.used, deadline);
    if (got == -Errno.EAGAIN) return work.used == 0 ? 0 : -408;
    if (got <= 0) return 0;
    work.used += got;
  }
}

/** Receives behind the first `used` bytes of the buffer; -EAGAIN after the deadline. Yields. */
function receive(work: Work, used: u32, deadline: u64): i32 {
  const now = nowNs();
  if (now >= deadline) return -Errno.EAGAIN;
  SysSocketSetOption(work.socket, SO_RCVTIMEO, <u32>((deadline - now) / NS_PER_MS) + 1);
  return SysSocketRecv(work.socket, inputOf(work) + used, HEAD_BYTES_MAX - used, 0);
}

/**
 * Reads on behind an answer that is the last one: closing over bytes of the client would reset it,
 * and it might lose the answer's end (RFC 9112, 9.6). Yields.
 */
function linger(work: Work): void {
  if (SysSocketShutdown(work.socket, SHUTDOWN_SEND) < 0) return;
  const deadline = nowNs() + <u64>LINGER_MS * NS_PER_MS;
  let got: i32 = 1;
  while (got > 0) got = receive(work, 0, deadline);
}
