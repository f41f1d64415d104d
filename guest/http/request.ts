// The head of an HTTP/1.x request (RFC 9112), parsed in place and in one pass. A leaf: it parses
// what the buffer holds, and never yields for more.
import { Span, spanAddress, spanBytes, text } from "../../kernel/api";
import { skip, TARGET, TOKEN } from "./characters";
import { lineEnd, parseField } from "./fields";
import { Method, REQUEST_HEAD_BYTES, RequestHead } from "./request-head";
import { parseTarget } from "./target";
import { isSame } from "./text";

/** A longer request line is answered 414 (RFC 9112, 3: at least 8000 octets), a longer head 431. */
export const REQUEST_LINE_BYTES_MAX: u32 = 8192;
export const HEAD_BYTES_MAX: u32 = 16384;
/** More are answered 431. */
const FIELDS_MAX: u32 = 100;
/** No method is longer; 501 does not wait for the end of the line (RFC 9112, 3). */
const METHOD_BYTES_MAX: u32 = 32;
const VERSION_BYTES: u32 = 8;
const EMPTY_LINE_BYTES_MAX: i32 = 2;

const CR: u32 = 13;
const SPACE: u32 = 32;

/** Those of IANA's registry that are not in Method. */
const REGISTERED = text(
  " ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE LABEL LINK LOCK MERGE MKACTIVITY " +
    "MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PATCH POST PRI PROPFIND " +
    "PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE " +
    "UPDATEREDIRECTREF VERSION-CONTROL ",
);

/**
 * Parses a head in the `bytes` bytes at `at`. Returns its length; 0 when it is incomplete, but
 * valid so far; or the negative status of the answer: -400, -414, -431, -501 or -505. With `strict`
 * a line must end in CR LF. Clients that speak TLS or SOCKS send no line and wait: they get their
 * answer at the first byte that no request has.
 */
export function parseRequest(
  at: usize,
  bytes: u32,
  request: RequestHead,
  strict: bool = false,
): i32 {
  memory.fill(changetype<usize>(request), 0, REQUEST_HEAD_BYTES);
  const end = at + bytes;
  const start = skipEmptyLine(at, end, strict);
  let p = start;
  const line = parseLine(p, end, request, strict);
  if (line == 0) return end - p > REQUEST_LINE_BYTES_MAX ? -414 : 0;
  if (line < 0) return line;
  if (line > <i32>REQUEST_LINE_BYTES_MAX + 1) return -414;
  p += line;
  request.headers = p;
  while (true) {
    const field = parseField(p, end, request, strict);
    if (field < 0) return field;
    if (field == 0) return bytes >= HEAD_BYTES_MAX ? -431 : 0;
    if (field <= EMPTY_LINE_BYTES_MAX) {
      request.headersBytes = <u32>(p - request.headers);
      return finish(request) ? <i32>(p - at) + field : -400;
    }
    if (++request.headerCount > FIELDS_MAX) return -431;
    p += field;
  }
}

/** Checks that need the whole head. */
function finish(request: RequestHead): bool {
  if (request.close) request.keepAlive = false;
  if (request.minor == 0) {
    // RFC 9110, 10.1.1: expectations are ignored.
    request.expectsContinue = request.expectsOther = false;
    return request.hosts <= 1;
  }
  return request.hosts == 1; // RFC 9112, 3.2
}

/** Is there nothing but an empty line, or the first half of one? */
export function isEmptyLine(at: usize, bytes: u32): bool {
  return skipEmptyLine(at, at + bytes, false) == at + bytes || (bytes == 1 && load<u8>(at) == CR);
}

/** RFC 9112, 2.2: an empty line before the request line is ignored. */
function skipEmptyLine(at: usize, end: usize, strict: bool): usize {
  const bytes = lineEnd(at, end, strict);
  return bytes > 0 ? at + bytes : at;
}

/** `METHOD target HTTP/1.x`; returns the bytes of the line, 0 or a negative status. */
function parseLine(start: usize, end: usize, request: RequestHead, strict: bool): i32 {
  if (end - start == 1 && load<u8>(start) == CR) return 0; // of an empty line to be ignored
  let p = skip(start, end, TOKEN);
  if (p - start > METHOD_BYTES_MAX) return -501;
  if (p == end) return 0;
  if (p == start || load<u8>(p) != SPACE) return -400;
  request.methodAt = start;
  request.methodBytes = <u32>(p - start);
  request.target = ++p;
  p = skip(p, end, TARGET);
  request.targetBytes = <u32>(p - request.target);
  if (p == end) return 0;
  if (request.targetBytes == 0 || load<u8>(p++) != SPACE) return -400;
  if (!isVersion(p, min<u32>(<u32>(end - p), VERSION_BYTES))) return -400;
  if (end - p < VERSION_BYTES) return 0;
  const ending = lineEnd(p + VERSION_BYTES, end, strict);
  if (ending <= 0) return ending;
  if (load<u8>(p, 5) != 0x31) return -505;
  request.minor = load<u8>(p, 7) - 0x30;
  request.keepAlive = request.minor != 0;
  request.method = parseMethod(start, request.methodBytes);
  const status = parseTarget(request);
  return status < 0 ? status : <i32>(p - start) + <i32>VERSION_BYTES + ending;
}

/** Can these bytes begin `HTTP/` digit `.` digit? */
function isVersion(at: usize, bytes: u32): bool {
  const pattern = spanAddress(text("HTTP/0.0"));
  for (let i: u32 = 0; i < bytes; i++) {
    const c: u32 = load<u8>(at + i);
    const wanted: u32 = load<u8>(pattern + i);
    if (wanted == 0x30 ? c - 0x30 > 9 : c != wanted) return false;
  }
  return true;
}

/** Methods are case-sensitive. */
function parseMethod(at: usize, bytes: u32): Method {
  if (bytes == 3 && load<u8>(at) == 0x47 && load<u16>(at, 1) == 0x5445) return Method.GET;
  if (bytes == 4 && load<u32>(at) == 0x44414548) return Method.HEAD;
  if (isExactly(at, bytes, text("OPTIONS"))) return Method.OPTIONS;
  if (isExactly(at, bytes, text("CONNECT"))) return Method.CONNECT;
  return isRegistered(at, bytes) ? Method.Known : Method.Unknown;
}

function isExactly(at: usize, bytes: u32, s: Span): bool {
  return isSame(at, bytes, spanAddress(s), spanBytes(s));
}

function isRegistered(at: usize, bytes: u32): bool {
  const end = spanAddress(REGISTERED) + spanBytes(REGISTERED) - bytes - 1;
  for (let p = spanAddress(REGISTERED); p < end; p++) {
    if (load<u8>(p) != SPACE || load<u8>(p + 1 + bytes) != SPACE) continue;
    if (memory.compare(p + 1, at, bytes) == 0) return true;
  }
  return false;
}
