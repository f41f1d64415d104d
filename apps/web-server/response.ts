// Response heads. Leaves, but for the clock nothing is looked at that is not an argument.
import { realtimeNs, NS_PER_S } from "../../kernel/clock";
import { FileStat } from "../../kernel/fs/stat";
import { DATE_BYTES, putDate } from "./date";
import { contentType } from "./mime";
import { putBytes, putHex, putNumber, putText } from "./text";

/** Every head fits into so many bytes, a Location of the longest request line included. */
export const RESPONSE_HEAD_BYTES_MAX: u32 = 5120;

const date: usize = memory.data(32);
let dateSecond: u64 = u64.MAX_VALUE;

/** The start of every head: status line, Server, Date. */
export function putStart(at: usize, status: u32): usize {
  at = putText(at, "HTTP/1.1 ");
  at = putNumber(at, status);
  at = putText(at, " ");
  at = putText(at, reason(status));
  at = putText(at, "\r\nServer: torito\r\nDate: ");
  const second = realtimeNs() / NS_PER_S;
  if (second != dateSecond) {
    putDate(date, second);
    dateSecond = second;
  }
  at = putBytes(at, date, DATE_BYTES);
  return putText(at, "\r\n");
}

/** The end of every head. */
export function putEnd(at: usize, keepAlive: bool): usize {
  if (keepAlive) return putText(at, "Connection: keep-alive\r\n\r\n");
  return putText(at, "Connection: close\r\n\r\n");
}

export function reason(status: u32): string {
  switch (status) {
    case 200: return "OK";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "Internal Server Error";
  }
}

/**
 * `"ctime-size"` in hexadecimal, quotes included: a strong validator, as exact as the file system.
 * Not mtime, which tools set as they like: a build that dates all files alike would never change.
 */
export function putEtag(at: usize, stat: FileStat): usize {
  at = putText(at, '"');
  at = putHex(at, <u64>stat.ctimeNs);
  at = putText(at, "-");
  at = putHex(at, stat.size);
  return putText(at, '"');
}

/** What a file's responses have in common, Content-Length apart. */
export function putFileHeaders(at: usize, path: usize, pathBytes: u32, stat: FileStat): usize {
  at = putText(at, "Content-Type: ");
  at = putText(at, contentType(path, pathBytes));
  at = putText(at, "\r\nAccept-Ranges: bytes\r\n");
  return putValidators(at, stat);
}

export function putValidators(at: usize, stat: FileStat): usize {
  at = putText(at, "Last-Modified: ");
  at = putDate(at, modifiedSecond(stat));
  at = putText(at, "\r\nETag: ");
  at = putEtag(at, stat);
  return putText(at, "\r\n");
}

/** HTTP has no dates before 1970 here. */
export function modifiedSecond(stat: FileStat): u64 {
  return stat.mtimeNs < 0 ? 0 : <u64>stat.mtimeNs / NS_PER_S;
}

export function putLength(at: usize, length: u64): usize {
  at = putText(at, "Content-Length: ");
  at = putNumber(at, length);
  return putText(at, "\r\n");
}
