// The field lines of a head (RFC 9112, 5), each in one pass. A leaf.
import { Span, span, spanAddress, spanBytes, text } from "../../kernel/api";
import { isAuthority } from "./authority";
import { skip, skipBlanks, TOKEN, trimBlanks, VALUE } from "./characters";
import { Field, RequestHead } from "./request-head";
import { isText } from "./text";

const CR: u32 = 13;
const LF: u32 = 10;
const COLON: u32 = 0x3a;
const COMMA: u32 = 0x2c;
const SEMICOLON: u32 = 0x3b;

/**
 * The bytes of the line end at `at`; 0 while they have not come, -400 if others have. A bare LF
 * ends a line (RFC 9112, 2.2), unless `strict`; a CR ends one only with an LF.
 */
export function lineEnd(at: usize, end: usize, strict: bool): i32 {
  if (at == end) return 0;
  const c: u32 = load<u8>(at);
  if (c == LF) return strict ? -400 : 1;
  if (c != CR) return -400;
  if (at + 1 == end) return 0;
  return load<u8>(at, 1) == LF ? 2 : -400;
}

/**
 * Parses the field line at `at`, or the empty line that ends the head. Returns its bytes, of which
 * an empty line has at most two, and others at least three; 0: it is incomplete; or a negative
 * status.
 */
export function parseField(at: usize, end: usize, request: RequestHead, strict: bool): i32 {
  const colon = skip(at, end, TOKEN);
  if (colon == end) return 0;
  if (colon == at) return lineEnd(at, end, strict);
  // A space before the colon or at the start of a line (folding) is how requests are smuggled.
  if (load<u8>(colon) != COLON) return -400;
  const value = skipBlanks(colon + 1, end);
  const stop = skip(value, end, VALUE);
  const ending = lineEnd(stop, end, strict);
  if (ending <= 0) return ending;
  const last = trimBlanks(value, stop);
  const status = takeField(at, <u32>(colon - at), value, last, request);
  return status < 0 ? status : <i32>(stop - at) + ending;
}

/** Notes the field whose value is [value, last). Returns 0 or a negative status. */
function takeField(name: usize, n: u32, value: usize, last: usize, request: RequestHead): i32 {
  const bytes = <u32>(last - value);
  switch (n) {
    case 4:
      if (isText(name, n, text("host"))) return takeHost(value, bytes, request);
      break;
    case 5:
      if (isText(name, n, text("range"))) request.note(Field.Range, value, bytes);
      break;
    case 6:
      if (isText(name, n, text("accept"))) request.note(Field.Accept, value, bytes);
      else if (isText(name, n, text("origin"))) request.note(Field.Origin, value, bytes);
      else if (isText(name, n, text("expect"))) takeExpect(value, last, request);
      break;
    case 7:
      if (isText(name, n, text("referer"))) request.note(Field.Referer, value, bytes);
      break;
    case 8:
      if (isText(name, n, text("if-range"))) request.note(Field.IfRange, value, bytes);
      else if (isText(name, n, text("if-match"))) request.note(Field.IfMatch, value, bytes);
      break;
    case 10:
      if (isText(name, n, text("connection"))) takeConnection(value, last, request);
      else if (isText(name, n, text("user-agent"))) request.note(Field.UserAgent, value, bytes);
      break;
    case 12:
      if (isText(name, n, text("x-request-id"))) request.note(Field.RequestId, value, bytes);
      break;
    case 13:
      if (isText(name, n, text("if-none-match"))) request.note(Field.IfNoneMatch, value, bytes);
      break;
    case 14:
      if (isText(name, n, text("content-length"))) return takeLength(value, last, request);
      break;
    case 15:
      if (isText(name, n, text("accept-encoding"))) {
        request.note(Field.AcceptEncoding, value, bytes);
      } else if (isText(name, n, text("x-forwarded-for"))) {
        request.note(Field.ForwardedFor, value, bytes);
      }
      break;
    case 17:
      if (isText(name, n, text("if-modified-since"))) {
        request.note(Field.IfModifiedSince, value, bytes);
      } else if (isText(name, n, text("transfer-encoding"))) {
        takeCodings(value, last, request);
      }
      break;
    case 19:
      if (isText(name, n, text("if-unmodified-since"))) {
        request.note(Field.IfUnmodifiedSince, value, bytes);
      }
      break;
  }
  return 0;
}

/** HF8: a host and perhaps a port, or nothing. */
function takeHost(value: usize, bytes: u32, request: RequestHead): i32 {
  request.hosts++;
  if (!isAuthority(value, bytes)) return -400;
  if (request.authority != 0) return 0; // the target's replaces it (RFC 9112, 3.2.2)
  request.authority = value;
  request.authorityBytes = bytes;
  return 0;
}

/** Digits, below 2^63. Whether several that are equal will do is for the framing to say. */
function takeLength(p: usize, end: usize, request: RequestHead): i32 {
  if (p == end) return -400;
  let length: u64 = 0;
  for (; p < end; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9 || length > (<u64>i64.MAX_VALUE - digit) / 10) return -400;
    length = length * 10 + digit;
  }
  if (request.lengths++ != 0 && length != request.length) return -400;
  request.length = length;
  return 0;
}

/** A list of options, perhaps one of several lists; `close` in any of them wins. */
function takeConnection(p: usize, end: usize, request: RequestHead): void {
  for (let item = nextItem(p, end); item != 0; item = nextItem(itemEnd(item), end)) {
    const at = spanAddress(item);
    const bytes = spanBytes(item);
    if (isText(at, bytes, text("close"))) request.close = true;
    else if (isText(at, bytes, text("keep-alive"))) request.keepAlive = true;
  }
}

/** Transfer-Encoding: a list of codings, of which this knows chunked. */
function takeCodings(p: usize, end: usize, request: RequestHead): void {
  request.chunkedAlone = request.encodings++ == 0 && isText(p, <u32>(end - p), text("chunked"));
  for (let item = nextItem(p, end); item != 0; item = nextItem(itemEnd(item), end)) {
    const at = spanAddress(item);
    let stop = at;
    while (stop < itemEnd(item) && load<u8>(stop) != SEMICOLON) stop++;
    const isChunked = isText(at, <u32>(trimBlanks(at, stop) - at), text("chunked"));
    request.codings++;
    request.chunkedLast = isChunked && stop == itemEnd(item);
    if (request.chunkedLast) request.chunkings++;
    else if (isChunked) request.chunkedOddly = true;
  }
}

/** RFC 9110, 10.1.1: `100-continue` is the only expectation there is. */
function takeExpect(p: usize, end: usize, request: RequestHead): void {
  for (let item = nextItem(p, end); item != 0; item = nextItem(itemEnd(item), end)) {
    if (isText(spanAddress(item), spanBytes(item), text("100-continue"))) {
      request.expectsContinue = true;
    } else {
      request.expectsOther = true;
    }
  }
}

/** The next element of a list in [p, end), without blanks around it; empty ones are left out. */
function nextItem(p: usize, end: usize): Span {
  while (p < end) {
    p = skipBlanks(p, end);
    const start = p;
    while (p < end && load<u8>(p) != COMMA) p++;
    const last = trimBlanks(start, p);
    if (last != start) return span(start, <u32>(last - start));
    p++;
  }
  return 0;
}

function itemEnd(item: Span): usize {
  return spanAddress(item) + spanBytes(item);
}

/** The value of the field's next line after the one with the value `after`; 0: there is none. */
export function nextValue(request: RequestHead, field: Field, name: Span, after: Span): Span {
  return request.lines(field) == 1 ? 0 : findField(request, name, itemEnd(after) + 1);
}

/**
 * The value of the first field called `name`, which is in lower case, that begins at `from` or
 * later (0: of all); 0: there is none.
 */
export function findField(request: RequestHead, name: Span, from: usize = 0): Span {
  const end = request.headers + request.headersBytes;
  let p = request.headers;
  while (p < end) {
    const colon = skip(p, end, TOKEN);
    const value = skipBlanks(colon + 1, end);
    const stop = skip(value, end, VALUE);
    if (value >= from && isText(p, <u32>(colon - p), name)) {
      return span(value, <u32>(trimBlanks(value, stop) - value));
    }
    p = stop + (load<u8>(stop) == CR ? 2 : 1);
  }
  return 0;
}
