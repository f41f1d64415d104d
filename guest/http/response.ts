// Response heads. Leaves, which use their arguments and the clock.
import { NS_PER_S, realtimeNs, Span, text } from "../../kernel/api";
import { DATE_BYTES, putDate } from "./date";
import { putBytes, putHex, putNumber, putText } from "./text";
import { Version } from "./version";

/** The most bytes of a head, without the value of a Location. */
export const RESPONSE_HEAD_BYTES_MAX: u32 = 1024;

const date: usize = memory.data(32);
let dateSecond: i64 = i64.MIN_VALUE;

/** The moment of a response in seconds since 1970. */
export function nowSecond(): i64 {
  return <i64>(realtimeNs() / NS_PER_S);
}

/** The start of every head: status line, Server, Date. */
export function putStart(at: usize, status: u32): usize {
  return putStartWith(at, status, reason(status));
}

/** The same with a phrase of one's own. */
export function putStartWith(at: usize, status: u32, phrase: Span): usize {
  at = putText(at, text("HTTP/1.1 "));
  at = putNumber(at, status);
  at = putText(at, text(" "));
  at = putText(at, phrase);
  at = putText(at, text("\r\nServer: torito\r\nDate: "));
  const second = nowSecond();
  if (second != dateSecond) {
    putDate(date, second);
    dateSecond = second;
  }
  at = putBytes(at, date, DATE_BYTES);
  return putText(at, text("\r\n"));
}

/** The end of every head. */
export function putEnd(at: usize, keepAlive: bool): usize {
  if (keepAlive) return putText(at, text("Connection: keep-alive\r\n\r\n"));
  return putText(at, text("Connection: close\r\n\r\n"));
}

export function reason(status: u32): Span {
  switch (status) {
    case 200: return text("OK");
    case 204: return text("No Content");
    case 206: return text("Partial Content");
    case 301: return text("Moved Permanently");
    case 302: return text("Found");
    case 303: return text("See Other");
    case 304: return text("Not Modified");
    case 307: return text("Temporary Redirect");
    case 308: return text("Permanent Redirect");
    case 400: return text("Bad Request");
    case 403: return text("Forbidden");
    case 404: return text("Not Found");
    case 405: return text("Method Not Allowed");
    case 408: return text("Request Timeout");
    case 412: return text("Precondition Failed");
    case 414: return text("URI Too Long");
    case 416: return text("Range Not Satisfiable");
    case 417: return text("Expectation Failed");
    case 431: return text("Request Header Fields Too Large");
    case 501: return text("Not Implemented");
    case 503: return text("Service Unavailable");
    case 505: return text("HTTP Version Not Supported");
    case 507: return text("Insufficient Storage");
    default: return text("Internal Server Error");
  }
}

/** The most bytes of a tag, with its quotes, of a coding with a name of up to 8. */
export const TAG_BYTES_MAX: i32 = 48;

/**
 * `"seconds-size"` of the modification time, in hexadecimal as nginx writes it, so that replicas of
 * a site agree, and the coding (ET1); or the digest of the content (ET3).
 */
export function putOpaqueTag(at: usize, version: Version): usize {
  at = putText(at, text('"'));
  if (version.hasDigest) {
    at = putDigits(putDigits(at, version.digestHigh), version.digestLow);
  } else {
    at = putHex(at, <u64>version.second);
    at = putText(at, text("-"));
    at = putHex(at, version.stat.size);
    if (version.coding != 0) {
      at = putText(at, text("-"));
      at = putText(at, version.coding);
    }
  }
  return putText(at, text('"'));
}

/** 16 hexadecimal digits. */
function putDigits(at: usize, value: u64): usize {
  for (let shift: i32 = 60; shift >= 0; shift -= 4) {
    at = putHex(at, (value >> shift) & 15);
  }
  return at;
}

/** ETag, and Last-Modified if the file has a date. */
export function putValidators(at: usize, version: Version): usize {
  if (!version.isUndated) {
    at = putText(at, text("Last-Modified: "));
    at = putDate(at, modifiedSecond(version));
    at = putText(at, text("\r\n"));
  }
  at = putText(at, version.isWeak ? text("ETag: W/") : text("ETag: "));
  at = putOpaqueTag(at, version);
  return putText(at, text("\r\n"));
}

/** The second of Last-Modified, never later than the response itself (RFC 9110, 8.8.2.1). */
export function modifiedSecond(version: Version): i64 {
  return min(version.second, nowSecond());
}

export function putRange(at: usize, first: u64, length: u64, size: u64): usize {
  at = putText(at, text("Content-Range: bytes "));
  at = putNumber(at, first);
  at = putText(at, text("-"));
  at = putNumber(at, first + length - 1);
  at = putText(at, text("/"));
  at = putNumber(at, size);
  return putText(at, text("\r\n"));
}

export function putLength(at: usize, length: u64): usize {
  at = putText(at, text("Content-Length: "));
  at = putNumber(at, length);
  return putText(at, text("\r\n"));
}
