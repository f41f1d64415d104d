// The head of an HTTP/1.x request (RFC 9112), parsed in place. A leaf: it parses what the buffer
// holds, and never yields for more.
import { Span, text } from "../../kernel/api";
import { isText } from "./text";

export const enum Method {
  GET,
  HEAD,
  Known, // a method of HTTP that this server does not implement
  Unknown,
}

/** A parsed head. Addresses point into the buffer; 0: no such header. */
@unmanaged
export class RequestHead {
  method: Method;
  methodAt: usize;
  methodBytes: u32;
  minor: u32; // of HTTP/1.minor
  target: usize;
  targetBytes: u32;
  keepAlive: bool;
  close: bool; // asked for in a Connection header
  hasBody: bool; // as its head has it: bodyFraming() says whether that makes sense
  lengths: u32; // Content-Length headers, all with the same value
  length: u64;
  codings: u32; // of Transfer-Encoding
  chunkings: u32; // how many of them are chunked
  chunkedLast: bool;
  expect: usize;
  expectBytes: u32;
  hosts: u32;
  headers: usize; // the first header line
  headersBytes: u32; // of all of them, without the empty line
  headerCount: u32;
  ifNoneMatch: usize;
  ifNoneMatchBytes: u32;
  ifModifiedSince: usize;
  ifModifiedSinceBytes: u32;
  range: usize;
  rangeBytes: u32;
  ifRange: usize;
  ifRangeBytes: u32;
}

/** A longer request line is answered 414 (RFC 9112, 3: at least 8000 octets), a longer head 431. */
export const REQUEST_LINE_BYTES_MAX: u32 = 8192;
export const HEAD_BYTES_MAX: u32 = 16384;
/** No method is longer; 501 does not wait for the end of the line (RFC 9112, 3). */
const METHOD_BYTES_MAX: u32 = 32;

const CR: u32 = 13;
const LF: u32 = 10;
const SPACE: u32 = 32;
const COLON: u32 = 58;
const COMMA: u32 = 44;

/**
 * Parses a head in the `bytes` bytes at `at`. Returns its length; 0 when it is incomplete, but
 * valid so far; or the negative status of the answer: -400, -414, -431, -501 or -505.
 */
export function parseRequest(at: usize, bytes: u32, request: RequestHead): i32 {
  memory.fill(changetype<usize>(request), 0, offsetof<RequestHead>());
  const end = at + bytes;
  let p = at;
  // RFC 9112, 2.2: an empty line before the request line is ignored.
  if (p + 1 < end && load<u8>(p) == CR && load<u8>(p, 1) == LF) p += 2;
  else if (p < end && load<u8>(p) == LF) p++;
  const lineEnd = findLineFeed(p, end);
  if (lineEnd == 0) {
    const refused = refuseStart(p, end);
    return refused < 0 || end - p <= REQUEST_LINE_BYTES_MAX ? refused : -414;
  }
  if (lineEnd - p > REQUEST_LINE_BYTES_MAX) return -414;
  const line = parseLine(p, contentEnd(p, lineEnd), request);
  if (line < 0) return line;
  p = lineEnd + 1;
  request.headers = p;
  while (true) {
    const next = findLineFeed(p, end);
    if (next == 0) return bytes >= HEAD_BYTES_MAX ? -431 : 0;
    const last = contentEnd(p, next);
    if (last == p) break;
    const status = parseHeader(p, last, request);
    if (status < 0) return status;
    request.headerCount++;
    p = next + 1;
  }
  request.headersBytes = <u32>(p - request.headers);
  // RFC 9112, 3.2: exactly one Host in HTTP/1.1.
  if (request.hosts > 1 || (request.hosts == 0 && request.minor != 0)) return -400;
  if (request.close) request.keepAlive = false;
  return <i32>(findLineFeed(p, end) + 1 - at);
}

/**
 * Can a request line start with [p, end), which holds no line feed? Clients that speak TLS or SOCKS
 * send none and wait for an answer: they get it at the first byte that no request has.
 */
function refuseStart(p: usize, end: usize): i32 {
  const start = p;
  if (end - p == 1 && load<u8>(p) == CR) return 0; // of an empty line to be ignored
  while (p < end && isToken(load<u8>(p))) p++;
  if (p - start > METHOD_BYTES_MAX) return -501;
  if (p == end) return 0;
  if (p == start || load<u8>(p) != SPACE) return -400;
  p++;
  // A target, a space, a version, and perhaps the CR of the line feed to come.
  while (p < end && (load<u8>(p) == SPACE || load<u8>(p) == CR || isVisible(load<u8>(p)))) p++;
  return p == end ? 0 : -400;
}

function isVisible(c: u32): bool {
  return c - 0x21 < 0x5e;
}

function findLineFeed(from: usize, end: usize): usize {
  for (let p = from; p < end; p++) if (load<u8>(p) == LF) return p;
  return 0;
}

/** The end of a line without its CR, if it has one. */
function contentEnd(start: usize, lineFeed: usize): usize {
  return lineFeed > start && load<u8>(lineFeed - 1) == CR ? lineFeed - 1 : lineFeed;
}

/** A character of methods and of names of headers (RFC 9110, 5.6.2). */
export function isToken(c: u32): bool {
  if ((c | 0x20) - 0x61 < 26 || c - 0x30 < 10) return true;
  switch (c) {
    case 0x21: case 0x23: case 0x24: case 0x25: case 0x26: case 0x27: case 0x2a: case 0x2b:
    case 0x2d: case 0x2e: case 0x5e: case 0x5f: case 0x60: case 0x7c: case 0x7e:
      return true;
    default:
      return false;
  }
}

/** `METHOD target HTTP/1.x`; returns 0 or a negative status. */
function parseLine(start: usize, end: usize, request: RequestHead): i32 {
  let p = start;
  while (p < end && isToken(load<u8>(p))) p++;
  if (p == start || p == end || load<u8>(p) != SPACE) return -400;
  request.methodAt = start;
  request.methodBytes = <u32>(p - start);
  request.method = parseMethod(start, request.methodBytes);
  const target = ++p;
  while (p < end && isVisible(load<u8>(p))) p++;
  if (p == target || p == end || load<u8>(p) != SPACE) return -400;
  request.target = target;
  request.targetBytes = <u32>(p - target);
  p++;
  // `HTTP/` digit `.` digit
  if (end - p != 8 || load<u32>(p) != 0x50545448 || load<u8>(p, 4) != 0x2f) return -400;
  const major = <u32>load<u8>(p, 5) - 0x30;
  const minor = <u32>load<u8>(p, 7) - 0x30;
  if (major > 9 || minor > 9 || load<u8>(p, 6) != 0x2e) return -400;
  if (major != 1) return -505;
  request.minor = minor;
  request.keepAlive = minor != 0;
  return 0;
}

function parseMethod(at: usize, bytes: u32): Method {
  // Methods are case-sensitive.
  if (bytes == 3 && load<u8>(at) == 0x47 && load<u16>(at, 1) == 0x5445) return Method.GET;
  if (bytes == 4 && load<u32>(at) == 0x44414548) return Method.HEAD;
  if (load<u8>(at) - 0x41 >= 26) return Method.Unknown;
  const known =
    isText(at, bytes, text("post")) || isText(at, bytes, text("put")) ||
    isText(at, bytes, text("delete")) || isText(at, bytes, text("options")) ||
    isText(at, bytes, text("trace")) || isText(at, bytes, text("connect")) ||
    isText(at, bytes, text("patch"));
  return known ? Method.Known : Method.Unknown;
}

/** One header line; returns 0 or a negative status. */
function parseHeader(start: usize, end: usize, request: RequestHead): i32 {
  let p = start;
  while (p < end && isToken(load<u8>(p))) p++;
  // A space before the colon or at the start of a line (folding) is how requests are smuggled.
  if (p == start || p == end || load<u8>(p) != COLON) return -400;
  const nameBytes = <u32>(p - start);
  p++;
  while (p < end && (load<u8>(p) == SPACE || load<u8>(p) == 9)) p++;
  while (end > p && (load<u8>(end - 1) == SPACE || load<u8>(end - 1) == 9)) end--;
  for (let q = p; q < end; q++) {
    const c: u32 = load<u8>(q);
    if (c < 32 && c != 9) return -400;
  }
  const bytes = <u32>(end - p);
  switch (nameBytes) {
    case 6:
      if (isText(start, 6, text("expect"))) {
        request.expect = p;
        request.expectBytes = bytes;
      }
      break;
    case 4:
      if (isText(start, 4, text("host"))) request.hosts++;
      break;
    case 5:
      if (isText(start, 5, text("range"))) {
        request.range = p;
        request.rangeBytes = bytes;
      }
      break;
    case 8:
      if (isText(start, 8, text("if-range"))) {
        request.ifRange = p;
        request.ifRangeBytes = bytes;
      }
      break;
    case 10:
      if (isText(start, 10, text("connection"))) parseConnection(p, end, request);
      break;
    case 13:
      if (isText(start, 13, text("if-none-match"))) {
        request.ifNoneMatch = p;
        request.ifNoneMatchBytes = bytes;
      }
      break;
    case 14:
      if (isText(start, 14, text("content-length"))) return parseContentLength(p, end, request);
      break;
    case 17:
      if (isText(start, 17, text("if-modified-since"))) {
        request.ifModifiedSince = p;
        request.ifModifiedSinceBytes = bytes;
      } else if (isText(start, 17, text("transfer-encoding"))) {
        request.hasBody = true;
        parseCodings(p, end, request);
      }
      break;
  }
  return 0;
}

/** A list of options, perhaps one of several lists; `close` in any of them wins. */
function parseConnection(p: usize, end: usize, request: RequestHead): void {
  while (p < end) {
    while (p < end && (load<u8>(p) == SPACE || load<u8>(p) == COMMA || load<u8>(p) == 9)) p++;
    const start = p;
    while (p < end && isToken(load<u8>(p))) p++;
    const bytes = <u32>(p - start);
    if (isText(start, bytes, text("close"))) request.close = true;
    if (isText(start, bytes, text("keep-alive"))) request.keepAlive = true;
    while (p < end && load<u8>(p) != COMMA) p++; // skip anything else
  }
}

/** Transfer-Encoding: a list of codings, of which this knows chunked. */
function parseCodings(p: usize, end: usize, request: RequestHead): void {
  while (p < end) {
    while (p < end && (load<u8>(p) == SPACE || load<u8>(p) == COMMA || load<u8>(p) == 9)) p++;
    if (p == end) return;
    const start = p;
    while (p < end && load<u8>(p) != COMMA) p++;
    let last = p;
    while (load<u8>(last - 1) == SPACE || load<u8>(last - 1) == 9) last--;
    request.codings++;
    request.chunkedLast = isText(start, <u32>(last - start), text("chunked"));
    if (request.chunkedLast) request.chunkings++;
  }
}

/** RFC 9112, 6.3: equal values are merged, different ones are how requests are smuggled. */
function parseContentLength(p: usize, end: usize, request: RequestHead): i32 {
  if (p == end) return -400;
  let length: u64 = 0;
  for (; p < end; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9 || length > (<u64>i64.MAX_VALUE - digit) / 10) return -400;
    length = length * 10 + digit;
  }
  if (request.lengths++ != 0 && length != request.length) return -400;
  request.length = length;
  if (length != 0) request.hasBody = true;
  return 0;
}

/** How the end of a request's body is found. */
export const enum Framing {
  None,
  Length, // RequestHead.length bytes
  Chunked,
}

/** RFC 9112, 6: the framing of the body, or the negative status of the answer. */
export function bodyFraming(request: RequestHead): i32 {
  if (request.codings == 0) return request.length != 0 ? Framing.Length : Framing.None;
  // HB1: both, or chunks from a client of HTTP/1.0, may be read in two ways.
  if (request.lengths != 0 || request.minor == 0) return -400;
  if (!request.chunkedLast || request.chunkings > 1) return -400; // HB2
  return request.codings > 1 ? -501 : Framing.Chunked;
}

/**
 * The value of the first header called `name`, which is in lower case: its bytes are stored at
 * `bytes`. 0: there is none.
 */
export function findHeader(request: RequestHead, name: Span, bytes: usize): usize {
  return findNextHeader(request, 0, name, bytes);
}

/** The same from the line after the one with the value at `after`; 0: from the first one. */
export function findNextHeader(
  request: RequestHead,
  after: usize,
  name: Span,
  bytes: usize,
): usize {
  const end = request.headers + request.headersBytes;
  for (let p = after == 0 ? request.headers : findLineFeed(after, end) + 1; p < end; ) {
    const next = findLineFeed(p, end);
    let last = contentEnd(p, next);
    let colon = p;
    while (load<u8>(colon) != COLON) colon++;
    if (isText(p, <u32>(colon - p), name)) {
      p = colon + 1;
      while (p < last && (load<u8>(p) == SPACE || load<u8>(p) == 9)) p++;
      while (last > p && (load<u8>(last - 1) == SPACE || load<u8>(last - 1) == 9)) last--;
      store<u32>(bytes, <u32>(last - p));
      return p;
    }
    p = next + 1;
  }
  return 0;
}
