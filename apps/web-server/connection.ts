// One connection, one thread: reads requests, answers each, until one side has had enough. While a
// connection says nothing it holds no buffer.
import { Errno } from "../../drivers/abi/errno";
import { nowNs, NS_PER_MS } from "../../kernel/clock";
import { ToroFreeMem, ToroGetMem } from "../../kernel/memory";
import {
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  SysSocketClose,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSetOption,
} from "../../kernel/net/calls";
import { answer, refuse } from "./answer";
import { HEAD_BYTES_MAX, parseRequest, Request } from "./request";
import { RESPONSE_HEAD_BYTES_MAX } from "./response";

/** How long a connection may stay without a request, and a request without the end of its head. */
export let idleTimeoutMs: u32 = 15_000;
export let headTimeoutMs: u32 = 10_000;
/** How long a client may take no byte of its response. */
const SEND_TIMEOUT_MS: u32 = 30_000;

export function setTimeouts(idleMs: u32, headMs: u32): void {
  idleTimeoutMs = idleMs;
  headTimeoutMs = headMs;
}

/** Buffers of one request; in one block, given back between requests that do not follow at once. */
@unmanaged
export class Work {
  socket: i32;
  used: u32; // bytes of requests in the buffer
}
const REQUEST: usize = offsetof<Work>();
const INPUT: usize = REQUEST + offsetof<Request>();
const OUTPUT: usize = INPUT + HEAD_BYTES_MAX;
/** Room for a decoded path and the name of an index file. */
const PATH: usize = OUTPUT + RESPONSE_HEAD_BYTES_MAX;
export const PATH_BYTES_MAX: u32 = 4096 + 16;
const WORK_BYTES: usize = PATH + PATH_BYTES_MAX;

export function requestOf(work: Work): Request {
  return changetype<Request>(changetype<usize>(work) + REQUEST);
}
function inputOf(work: Work): usize {
  return changetype<usize>(work) + INPUT;
}
export function outputOf(work: Work): usize {
  return changetype<usize>(work) + OUTPUT;
}
export function pathOf(work: Work): usize {
  return changetype<usize>(work) + PATH;
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
    if (head <= 0) {
      if (head < 0) refuse(work, <u32>-head);
      return false;
    }
    if (!answer(work)) return false;
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
    const now = nowNs();
    if (now >= deadline) return work.used == 0 ? 0 : -408;
    SysSocketSetOption(work.socket, SO_RCVTIMEO, <u32>((deadline - now) / NS_PER_MS) + 1);
    const room = HEAD_BYTES_MAX - work.used;
    const got = SysSocketRecv(work.socket, inputOf(work) + work.used, room, 0);
    if (got == -Errno.EAGAIN) return work.used == 0 ? 0 : -408;
    if (got <= 0) return 0;
    work.used += got;
  }
}
