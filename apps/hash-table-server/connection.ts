// One connection: requests one after the other, each answered in one send. It holds no memory while
// it waits for a request.
import {
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  Span,
  SysSocketClose,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketSend,
  SysSocketSetOption,
  text,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";
import {
  HEAD_BYTES_MAX,
  parseRequest,
  REQUEST_LINE_BYTES_MAX,
} from "torito/guest/http/request";
import { Method, REQUEST_HEAD_BYTES, RequestHead } from "torito/guest/http/request-head";
import { putEnd, putLength, putStart, reason } from "torito/guest/http/response";
import { putNumber, putText } from "torito/guest/http/text";
import { find, KEY_BYTES_MAX, keyCount, put, valueOf } from "./table";

/** A client that sends or takes nothing for this long is disconnected. */
const PATIENCE_MS: u32 = 30_000;
const SLASH: u32 = 0x2f;
const EQUALS: u32 = 0x3d;

// A block of the heap: received bytes, the request parsed from them, the response.
const REQUEST: usize = (HEAD_BYTES_MAX + 7) & ~7;
const RESPONSE: usize = REQUEST + REQUEST_HEAD_BYTES;
const HEAD_BYTES: usize = 512;
const PAGE: usize = RESPONSE + HEAD_BYTES; // for generated bodies
const BLOCK_BYTES: usize = PAGE + <usize>REQUEST_LINE_BYTES_MAX; // values come in request lines

const peeked: usize = memory.data(16);

/** The thread of a connection. */
export function serve(arg: usize): void {
  const socket = <i32>arg;
  SysSocketSetOption(socket, SO_RCVTIMEO, PATIENCE_MS);
  SysSocketSetOption(socket, SO_SNDTIMEO, PATIENCE_MS);
  let open = true;
  while (open && SysSocketPeek(socket, peeked, 1, 0) > 0) {
    const block = ToroGetMem(BLOCK_BYTES);
    if (block == 0) break;
    open = converse(socket, block);
    ToroFreeMem(block);
  }
  SysSocketClose(socket);
}

/** Answers requests. Yields. Returns true when all are answered, false to end the connection. */
function converse(socket: i32, block: usize): bool {
  const request = changetype<RequestHead>(block + REQUEST);
  let received: u32 = 0;
  while (true) {
    const head = received == 0 ? 0 : parseRequest(block, received, request);
    if (head == 0) {
      const got = SysSocketRecv(socket, block + received, HEAD_BYTES_MAX - received, 0);
      if (got <= 0) return false;
      received += got;
      continue;
    }
    const bytes = head < 0 ? refuse(block, -head) : answer(block, request);
    if (SysSocketSend(socket, block + RESPONSE, bytes, 0) != bytes) return false;
    if (head < 0 || !stays(request)) return false;
    received -= head;
    if (received == 0) return true;
    memory.copy(block, block + head, received);
  }
}

function stays(request: RequestHead): bool {
  return request.keepAlive && !request.hasBody;
}

/** Writes the response to a request. Returns its bytes. */
function answer(block: usize, request: RequestHead): u32 {
  const keep = stays(request);
  const isHead = request.method == Method.HEAD;
  if (!isHead && request.method != Method.GET) return say(block, 405, keep, isHead);
  const target = request.target;
  const bytes = request.targetBytes;
  if (bytes == 0 || load<u8>(target) != SLASH) return say(block, 400, keep, isHead);
  if (bytes == 1) return count(block, keep, isHead);
  const key = target + 1;
  let keyBytes: u32 = 0;
  while (keyBytes < bytes - 1 && load<u8>(key + keyBytes) != EQUALS) keyBytes++;
  if (keyBytes == 0) return say(block, 400, keep, isHead);
  if (keyBytes > KEY_BYTES_MAX) return say(block, 414, keep, isHead);
  if (keyBytes == bytes - 1) return read(block, key, keyBytes, keep, isHead);
  const value = key + keyBytes + 1;
  const stored = put(key, keyBytes, value, bytes - 2 - keyBytes);
  return say(block, stored < 0 ? 507 : 200, keep, isHead);
}

function read(block: usize, key: usize, keyBytes: u32, keep: bool, isHead: bool): u32 {
  const entry = find(key, keyBytes);
  if (!entry) return say(block, 404, keep, isHead);
  const start = block + RESPONSE;
  const body = writeHead(start, 200, text("plain"), entry.valueBytes, keep);
  if (isHead) return <u32>(body - start);
  memory.copy(body, valueOf(entry), entry.valueBytes);
  return <u32>(body - start) + entry.valueBytes;
}

/** `/`: a page with the number of keys. */
function count(block: usize, keep: bool, isHead: bool): u32 {
  const page = block + PAGE;
  let end = putText(page, text("<!doctype html><title>HashTableServer</title><p>Keys: "));
  end = putNumber(end, keyCount());
  end = putText(end, text("</p>\n"));
  return finish(block, 200, text("html"), page, <u32>(end - page), keep, isHead);
}

/** A request that cannot be parsed ends the connection. */
function refuse(block: usize, status: u32): u32 {
  return say(block, status, false, false);
}

/** A response whose body is its reason. */
function say(block: usize, status: u32, keep: bool, isHead: bool): u32 {
  const page = block + PAGE;
  const end = putText(putText(page, reason(status)), text("\n"));
  return finish(block, status, text("plain"), page, <u32>(end - page), keep, isHead);
}

function finish(
  block: usize,
  status: u32,
  subtype: Span,
  page: usize,
  bytes: u32,
  keep: bool,
  isHead: bool,
): u32 {
  const start = block + RESPONSE;
  const body = writeHead(start, status, subtype, bytes, keep);
  if (isHead) return <u32>(body - start);
  memory.copy(body, page, bytes);
  return <u32>(body - start) + bytes;
}

function writeHead(at: usize, status: u32, subtype: Span, bytes: u32, keep: bool): usize {
  at = putText(putStart(at, status), text("Content-Type: text/"));
  at = putText(putText(at, subtype), text("\r\n"));
  return putEnd(putLength(at, bytes), keep);
}
