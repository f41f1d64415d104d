// From a request to its response: writes the head to the output, and selects the part of a file
// that follows it. Nothing is sent here. A file that cannot be opened for reading reveals nothing.
import { Errno, FileStat, spanAddress, spanBytes, SysStatFile, text } from "torito/kernel/api";
import { Entry, findEntry, loadError, loadFile, putFileHeaders, release } from "./cache";
import { allowsRange, preconditions } from "torito/guest/http/conditional";
import { Connection } from "./connections";
import { Event, note } from "./events";
import { typeOf } from "torito/guest/http/mime";
import { decodePath } from "torito/guest/http/path";
import { parseRange, Range, RangeKind } from "torito/guest/http/range";
import { Field, Method } from "torito/guest/http/request-head";
import {
  putEnd,
  putLength,
  putRange,
  putStart,
  putValidators,
  reason,
} from "torito/guest/http/response";
import { putBytes, putNumber, putText } from "torito/guest/http/text";
import { outputOf, pathOf, requestOf } from "./work";

const S_IFMT: u32 = 0o170000;
const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
/** A body of up to this size is sent in one piece with its head. */
const JOINED_BYTES_MAX: u64 = 4096;
/** Methods of this server. */
const ALLOW = text("Allow: GET, HEAD, OPTIONS\r\n");
/** Seconds after which a client may try again when memory was short. */
const RETRY_AFTER_S: u32 = 1;

// Nothing yields between setting these and their last use.
const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const range = changetype<Range>(memory.data(offsetof<Range>()));

/**
 * Answers the request in the connection's work. Yields. Returns the number of bytes in the output.
 * Of the file c.entry, if any, bytes [c.at, c.end) follow; c.keepAlive allows another request.
 */
export function answer(c: Connection): u32 {
  const request = requestOf(c.work);
  if (request.method == Method.OPTIONS) return answerOptions(c);
  const path = pathOf(c.work);
  const decoded = decodePath(request.path, request.path + request.pathBytes, path);
  if (decoded < 0) return fail(c, <u32>-decoded);
  let bytes = <u32>decoded;
  const asDirectory = load<u8>(path + bytes - 1) == 0x2f;
  if (asDirectory) {
    bytes = <u32>(putText(path + bytes, text("index.html")) - path);
  }
  const found = SysStatFile(path, bytes, changetype<usize>(stat));
  if (found < 0) return fail(c, statusOf(found));
  const kind = stat.mode & S_IFMT;
  // An index that is itself a directory would be redirected forever.
  if (kind == S_IFDIR && !asDirectory) return redirect(c);
  if (kind != S_IFREG) return fail(c, 403);
  return serveFile(c, bytes);
}

function statusOf(error: i32): u32 {
  switch (-error) {
    case Errno.ENOENT:
    case Errno.ENOTDIR:
    case Errno.ENAMETOOLONG:
    case Errno.ELOOP:
      return 404;
    case Errno.EACCES:
    case Errno.EPERM:
      return 403;
    case Errno.ENOMEM:
    case Errno.ENFILE:
    case Errno.EMFILE:
      return 503;
    default:
      return 500;
  }
}

/** Serves the file at pathOf(work), whose attributes are in `stat` as far as they are known. */
function serveFile(c: Connection, pathBytes: u32): u32 {
  const request = requestOf(c.work);
  const path = pathOf(c.work);
  const type = typeOf(path, pathBytes);
  const entry = findEntry(stat, type) || loadFile(path, pathBytes, type);
  if (!entry) return fail(c, statusOf(loadError()));
  const version = entry.version;
  let status = preconditions(request, version);
  if (status == 304) return notModified(c, entry);
  if (status == 412) return preconditionFailed(c, entry);
  status = 200;
  range.first = 0;
  range.last = entry.size - 1;
  const ranges = request.value(Field.Range);
  if (request.lines(Field.Range) == 1 && request.method == Method.GET && allowsRange(request, version)) {
    const kind = parseRange(spanAddress(ranges), spanBytes(ranges), entry.size, range);
    if (kind == RangeKind.Unsatisfiable) return unsatisfiable(c, entry);
    if (kind == RangeKind.Part) status = 206;
  }
  return sendFile(c, entry, status);
}

/** The part of the file in `range`, or all of it. */
function sendFile(c: Connection, entry: Entry, status: u32): u32 {
  const first = range.first;
  const length = entry.size == 0 ? 0 : range.last - first + 1;
  const output = outputOf(c.work);
  let at = putStart(output, status);
  at = putFileHeaders(at, entry);
  if (status == 206) at = putRange(at, first, length, entry.size);
  at = putLength(at, length);
  at = putEnd(at, c.keepAlive);
  if (requestOf(c.work).method == Method.HEAD) {
    release(entry);
  } else if (entry.content != 0 && length <= JOINED_BYTES_MAX) {
    at = putBytes(at, entry.content + <usize>first, <u32>length);
    release(entry);
  } else {
    c.entry = entry;
    c.at = first;
    c.end = first + length;
  }
  return <u32>(at - output);
}

function notModified(c: Connection, entry: Entry): u32 {
  const output = outputOf(c.work);
  let at = putStart(output, 304);
  at = putValidators(at, entry.version);
  at = putEnd(at, c.keepAlive);
  release(entry);
  return <u32>(at - output);
}

function preconditionFailed(c: Connection, entry: Entry): u32 {
  release(entry);
  return fail(c, 412);
}

function unsatisfiable(c: Connection, entry: Entry): u32 {
  let at = putStart(outputOf(c.work), 416);
  at = putText(at, text("Content-Range: bytes */"));
  at = putNumber(at, entry.size);
  at = putText(at, text("\r\n"));
  release(entry);
  return putReason(c, at, 416);
}

/** Adds the slash to a directory's name, which relative links in its index need. */
function redirect(c: Connection): u32 {
  const request = requestOf(c.work);
  let start = request.path;
  const stop = start + request.pathBytes;
  let at = putStart(outputOf(c.work), 301);
  at = putText(at, text("Location: "));
  // `//host` would lead to another server.
  while (start + 1 < stop && load<u8>(start, 1) == 0x2f) start++;
  at = putBytes(at, start, <u32>(stop - start));
  at = putText(at, text("/"));
  at = putBytes(at, request.query, request.queryBytes);
  at = putText(at, text("\r\n"));
  return putReason(c, at, 301);
}

/** OPTIONS, of a file or of the server. */
function answerOptions(c: Connection): u32 {
  const output = outputOf(c.work);
  const at = putText(putStart(output, 204), ALLOW);
  return <u32>(putEnd(at, c.keepAlive) - output);
}

/** An answer without a file. */
export function fail(c: Connection, status: u32): u32 {
  if (status == 400) c.keepAlive = false; // HF11
  let at = putStart(outputOf(c.work), status);
  if (status == 405) at = putText(at, ALLOW);
  if (status == 503) {
    note(Event.NoMemory);
    at = putRetryAfter(at);
  }
  return putReason(c, at, status);
}

function putRetryAfter(at: usize): usize {
  at = putText(at, text("Retry-After: "));
  at = putNumber(at, RETRY_AFTER_S);
  return putText(at, text("\r\n"));
}

/** Ends the head at `at`, with a line of text as body. */
function putReason(c: Connection, at: usize, status: u32): u32 {
  const line = reason(status);
  at = putText(at, text("Content-Type: text/plain; charset=utf-8\r\n"));
  at = putLength(at, spanBytes(line) + 5);
  at = putEnd(at, c.keepAlive);
  if (requestOf(c.work).method != Method.HEAD) {
    at = putNumber(at, status);
    at = putText(at, text(" "));
    at = putText(at, line);
    at = putText(at, text("\n"));
  }
  return <u32>(at - outputOf(c.work));
}

/** Writes the answer for want of memory to `at`, without more memory. Returns its end. */
export function putUnavailable(at: usize): usize {
  at = putStart(at, 503);
  at = putRetryAfter(at);
  at = putLength(at, 0);
  return putEnd(at, false);
}
