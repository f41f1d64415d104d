// HTTP/1.1 for applications: a thread for each connection, a scope for each request, a handler for
// all of them. While a connection waits for a request, it holds a thread and nothing else. What a
// request needs is allocated in its scope: the head, strings, the body, the response.
import {
  arenaMark,
  arenaRelease,
  Errno,
  SO_SNDTIMEO,
  SOCK_STREAM,
  SysOnFault,
  SysSocketClose,
  SysSocketRecv,
  SysSocketSetOption,
} from "../../kernel/api";
import { bodyFraming, Framing } from "../http/framing";
import { HEAD_BYTES_MAX, parseRequest } from "../http/request";
import { REQUEST_HEAD_BYTES, RequestHead } from "../http/request-head";
import { linger, receiveBy } from "../receive";
import { noRoom, serveForever } from "../server";
import { Body } from "./body";
import {
  allow,
  closeConnection,
  Connection,
  connectionCount,
  openConnection,
  recover,
  refuse,
} from "./connection";
import { ServeOptions } from "./options";
import { Request } from "./request";
import { Response } from "./response";

const BACKLOG: i32 = 128;
/** Enough for most heads; a longer one moves. */
const HEAD_BYTES_FIRST: u32 = 2048;

const peeked: usize = memory.data(16);
let handlerIndex: u32 = 0;
let options: ServeOptions = new ServeOptions();

/**
 * Serves HTTP on a vsock port: `handler` is called for each request, in the thread of its
 * connection, and may yield. When it returns, the response is complete, and all that was allocated
 * for the request is freed; what is to outlive it, a Table or a list of the library copies. If it
 * throws, the client gets 500, or a reset if a part of the response was sent; the log has the line.
 * Yields, and returns only a negative error: it cannot listen.
 */
export function serve(
  port: u32,
  handler: (request: Request, response: Response) => void,
  settings: ServeOptions | null = null,
): i32 {
  handlerIndex = handler.index;
  if (settings) options = settings;
  const stack = options.stackBytes;
  return serveForever(options.name, SOCK_STREAM, port, BACKLOG, converse, noRoom, stack);
}

/** The thread of a connection. */
function converse(socket: usize): void {
  SysSocketSetOption(<i32>socket, SO_SNDTIMEO, options.sendMs);
  const c = openConnection(<i32>socket);
  if (!c) {
    SysSocketClose(<i32>socket);
    return;
  }
  SysOnFault(recover, changetype<usize>(c));
  if (connectionCount() > options.connectionsMax) {
    refuse(c, 503);
  } else {
    while (waits(c)) {
      const mark = arenaMark();
      const goesOn = exchange(c);
      arenaRelease(mark);
      if (!goesOn) break;
    }
  }
  closeConnection(c);
}

/** Waits for the first byte of a request. Yields. */
function waits(c: Connection): bool {
  allow(c, options.idleMs);
  return receiveBy(c.socket, peeked, 1, c.deadlineNs, true) > 0;
}

/** One request and its response. Yields. Returns whether another may follow. */
function exchange(c: Connection): bool {
  c.sent = false;
  const head = changetype<RequestHead>(__new(REQUEST_HEAD_BYTES, idof<ArrayBuffer>()));
  const status = receiveHead(c, head);
  if (status != 0) {
    if (status > 0) refuse(c, status);
    return false;
  }
  const framing = bodyFraming(head);
  const refused = refusal(head, framing);
  if (refused != 0) {
    refuse(c, refused);
    return false;
  }
  c.closing = !head.keepAlive;
  const body = new Body(c, framing, head.length, options.bodyMs, head.expectsContinue);
  const request = new Request(c, head, body, options.bodyBytesMax);
  const response = new Response(c, head);
  call_indirect<void>(handlerIndex, request, response);
  response.end();
  if (c.closing || !body.drop()) {
    linger(c.socket);
    return false;
  }
  return true;
}

/** Why no handler sees a request, as a status; 0: one does. */
function refusal(head: RequestHead, framing: i32): u32 {
  if (framing < 0) return <u32>-framing;
  if (head.expectsOther) return 417;
  return framing == Framing.Length && head.length > options.bodyBytesMax ? 413 : 0;
}

/**
 * Takes the head from the socket, and nothing after it. Yields. Returns 0, the status of an answer,
 * or -1: the client has left.
 */
function receiveHead(c: Connection, head: RequestHead): i32 {
  let capacity: u32 = HEAD_BYTES_FIRST;
  let buffer = __new(capacity, idof<ArrayBuffer>());
  let used: u32 = 0;
  allow(c, options.headMs);
  while (true) {
    const at = buffer + used;
    const seen = receiveBy(c.socket, at, capacity - used, c.deadlineNs, true);
    if (seen == -Errno.EAGAIN) return 408;
    if (seen <= 0) return -1;
    const length = parseRequest(buffer, used + seen, head);
    if (length < 0) return -length;
    const wanted = length == 0 ? seen : length - <i32>used;
    SysSocketRecv(c.socket, at, wanted, 0);
    if (length != 0) return 0;
    used += seen;
    if (used < capacity) continue;
    capacity = min(capacity << 1, HEAD_BYTES_MAX);
    buffer = __renew(buffer, capacity);
  }
}
