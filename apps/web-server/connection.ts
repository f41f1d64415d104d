// One connection and its thread: reads requests and answers each, until one side ends it. While it
// waits for its client it holds no buffer.
import {
  Errno,
  MSG_DONTWAIT,
  nowNs,
  NS_PER_MS,
  SO_RCVTIMEO,
  SysSocketClose,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSend,
  SysSocketSetOption,
} from "torito/kernel/api";
import { answer } from "./answer";
import { release } from "./cache";
import { closeConnection, Connection, enter, openConnection, Phase } from "./connections";
import { awaitRoom, deliver } from "./deliver";
import { NO_ENTRY } from "./entry";
import { Event, note } from "./events";
import { closeWork, dropInput, hasInput, openWork } from "./hold";
import { HEAD_BYTES_MAX, parseRequest } from "torito/guest/http/request";
import { linger, receiveBy } from "torito/guest/receive";
import { putUnavailable, refuse } from "./respond";
import { keepRoom } from "./room";
import { inputOf, OUTPUT_BYTES, requestOf } from "./work";

/** How long a connection may wait for a request, and a request for the end of its head. */
let idleTimeoutMs: u32 = 0; // set by main.ts
let headTimeoutMs: u32 = 0;
/** How long data of a client are still read after the answer that ends its connection. */
const LINGER_MS: u32 = 5_000;

export function setTimeouts(idleMs: u32, headMs: u32): void {
  idleTimeoutMs = idleMs;
  headTimeoutMs = headMs;
}

const peeked: usize = memory.data(16);
const unavailable: usize = memory.data(512);

/** The thread of a connection. */
export function serveConnection(socket: usize): void {
  keepRoom();
  const c = openConnection(<i32>socket);
  if (c) {
    while ((hasInput(c) || awaitRequest(c)) && serveRequest(c));
    dropInput(c);
    closeConnection(c);
  } else {
    note(Event.NoThread);
  }
  SysSocketClose(<i32>socket);
}

/** Answers a request whose first bytes are there. Yields. False: it was the last one. */
function serveRequest(c: Connection): bool {
  // A request is taken only if there is room for an answer.
  if (!awaitRoom(c, OUTPUT_BYTES)) return false;
  const head = readHead(c);
  if (head == 0) return false;
  enter(c, Phase.Answering);
  const bytes = head < 0 ? refuse(c, <u32>-head) : answer(c);
  const more = head < 0 || requestOf(c.work).hasBody;
  consume(c, head < 0 ? c.work.used : head);
  const sent = deliver(c, bytes);
  if (c.entry != NO_ENTRY) release(c.entry);
  c.entry = NO_ENTRY;
  c.at = c.end = 0;
  if (!sent) return false;
  if (!c.keepAlive) {
    if (more) endPolitely(c);
    return false;
  }
  if (!hasInput(c)) closeWork(c);
  return true;
}

/** Removes a request from the input; the bytes after it move up. */
function consume(c: Connection, head: u32): void {
  const rest = c.work.used - head;
  if (rest != 0) memory.copy(inputOf(c.work), inputOf(c.work) + head, rest);
  c.work.used = rest;
}

/** Waits for the first byte of a request, and holds nothing meanwhile. Yields. */
function awaitRequest(c: Connection): bool {
  enter(c, Phase.Idle);
  SysSocketSetOption(c.socket, SO_RCVTIMEO, idleTimeoutMs);
  return SysSocketPeek(c.socket, peeked, 1, 0) > 0;
}

/**
 * Reads until a whole head is in the input. Yields. Returns its length; 0 when the client has gone
 * or has been answered; or a negative HTTP status.
 */
function readHead(c: Connection): i32 {
  enter(c, Phase.Head);
  const deadline = nowNs() + <u64>headTimeoutMs * NS_PER_MS;
  let late = false;
  while (true) {
    if (!openWork(c)) return sendUnavailable(c);
    const work = c.work;
    if (work.used != 0) {
      const head = parseRequest(inputOf(work), work.used, requestOf(work));
      if (head != 0) return head;
      if (late) return -408;
    } else if (late) {
      return 0;
    }
    const at = inputOf(work) + work.used;
    const got = SysSocketRecv(c.socket, at, HEAD_BYTES_MAX - work.used, MSG_DONTWAIT);
    if (got > 0) {
      work.used += got;
    } else if (got != -Errno.EAGAIN) {
      return 0;
    } else {
      if (!closeWork(c)) return sendUnavailable(c);
      const more = receiveBy(c.socket, peeked, 1, deadline, true);
      late = more == -Errno.EAGAIN;
      if (more <= 0 && !late) return 0;
    }
  }
}

/** Answers 503 from static memory. Returns 0. */
function sendUnavailable(c: Connection): i32 {
  note(Event.NoMemory);
  const bytes = <u32>(putUnavailable(unavailable) - unavailable);
  SysSocketSend(c.socket, unavailable, bytes, MSG_DONTWAIT);
  endPolitely(c);
  return 0;
}

/** Reads on after the last answer. Yields. */
function endPolitely(c: Connection): void {
  dropInput(c);
  enter(c, Phase.Ending);
  linger(c.socket, nowNs() + <u64>LINGER_MS * NS_PER_MS);
}
