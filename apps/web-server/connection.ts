// One connection and its thread: reads requests and answers each, until one side ends it. While it
// waits for its client it holds no buffer.
import {
  Errno,
  MSG_DONTWAIT,
  nowNs,
  NS_PER_MS,
  SIOCINQ,
  SO_RCVTIMEO,
  SysSocketClose,
  SysSocketGetOption,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSend,
  SysSocketSetOption,
  SysThreadSwitch,
} from "torito/kernel/api";
import { admit, ADMITTED, GONE, NO_MEMORY } from "./admit";
import { answer } from "./answer";
import { dropRest } from "./body";
import { release } from "./cache";
import { closeConnection, Connection, enter, openConnection, Phase } from "./connections";
import { awaitRoom, deliver } from "./deliver";
import { Ending } from "./ending";
import { NO_ENTRY } from "./entry";
import { Event, note } from "./events";
import { answered, finished } from "./finished";
import { closeWork, dropInput, hasInput, openWork } from "./hold";
import { HEAD_BYTES_MAX, isEmptyLine, parseRequest } from "torito/guest/http/request";
import { Method } from "torito/guest/http/request-head";
import { linger, receiveBy } from "torito/guest/receive";
import { freeParts } from "./parts";
import { putUnavailable, refuse } from "./respond";
import { keepRoom } from "./room";
import { hasStrictLines } from "./rules/site";
import { inputOf, OUTPUT_BYTES, outputOf, requestOf } from "./work";

/** How long a connection may wait for a request, and a request for the end of its head. */
let idleTimeoutMs: u32 = 0; // set by main.ts
let headTimeoutMs: u32 = 0;
/** HF16: after this many requests in a row others have a turn. */
const ROW: u32 = 64;
/** Place of the status in a head, after `HTTP/1.1 `. */
const STATUS_AT: usize = 9;

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
    while ((hasInput(c) || awaitRequest(c)) && serveRequest(c)) {
      if (c.requests % ROW == 0) SysThreadSwitch();
    }
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
  begin(c);
  const verdict = head > 0 ? admit(c, head) : giveUp(c, head);
  if (verdict == GONE) return false;
  if (verdict == NO_MEMORY) return sendUnavailable(c) != 0;
  const request = requestOf(c.work);
  const bytes = verdict == ADMITTED ? answer(c) : refuse(c, verdict);
  // The client may not know that there is no more, or has not sent all.
  const mayGoOn = request.keepAlive || request.hasBody || head < 0;
  answered(c, statusOf(outputOf(c.work)));
  consume(c, head);
  const sent = deliver(c, bytes);
  if (!sent && c.ending == Ending.Whole) c.ending = Ending.Gone;
  finished(c, c.bodySent, c.ending);
  endFile(c);
  if (!sent) return false;
  if (!c.keepAlive) {
    if (mayGoOn || hasInput(c) || hasMore(c)) endPolitely(c);
    return false;
  }
  if (c.bodyLeft != 0 && !dropRest(c)) return false;
  if (!hasInput(c)) closeWork(c);
  return true;
}

/** The head of a request is whole. */
function begin(c: Connection): void {
  c.startNs = nowNs();
  c.joined = 0;
  c.bodySent = 0;
  c.ending = Ending.Whole;
}

/** The status in the head at `output`. */
function statusOf(output: usize): u32 {
  let status: u32 = 0;
  for (let i: usize = 0; i < 3; i++) status = status * 10 + load<u8>(output + STATUS_AT + i) - 0x30;
  return status;
}

/** A head that is invalid or late. Returns the status of its answer, which is the last. */
function giveUp(c: Connection, head: i32): i32 {
  c.keepAlive = false;
  requestOf(c.work).method = Method.GET;
  return -head;
}

/** Gives back what the response had of a file. Yields if the file is closed. */
function endFile(c: Connection): void {
  const parts = c.parts;
  if (parts) freeParts(parts);
  c.parts = null;
  if (c.entry != NO_ENTRY) release(c.entry);
  c.entry = NO_ENTRY;
  c.at = c.end = 0;
}

/** Has the socket bytes that were not read? */
function hasMore(c: Connection): bool {
  return SysSocketGetOption(c.socket, SIOCINQ) > 0;
}

/**
 * Removes a request from the input: its head, and the bytes that have come of a body of known
 * length. Those after it move up. If the head was refused, all of the input goes.
 */
function consume(c: Connection, head: i32): void {
  const work = c.work;
  let used: u32 = head < 0 ? work.used : head;
  const body = <u32>min<u64>(work.used - used, c.bodyLeft);
  c.bodyLeft -= body;
  used += body;
  const rest = work.used - used;
  if (rest != 0) memory.copy(inputOf(work), inputOf(work) + used, rest);
  work.used = rest;
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
      const head = parseRequest(inputOf(work), work.used, requestOf(work), hasStrictLines());
      if (head != 0) return head;
      if (late) return isEmptyLine(inputOf(work), work.used) ? 0 : -408; // HF17
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
  linger(c.socket);
}
