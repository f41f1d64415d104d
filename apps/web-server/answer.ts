// From a request to its response. Functions return false when the connection is to end.
import { Errno } from "../../drivers/abi/errno";
import { ToroFreeMem, ToroGetAlignedMem } from "../../kernel/memory";
import {
  SysCloseFile,
  SysOpenFile,
  SysReadFileAt,
  SysStatFile,
  SysStatOpenFile,
} from "../../kernel/fs/calls";
import { copyStat, FileStat } from "../../kernel/fs/stat";
import { IoVec } from "../../kernel/iovec";
import { SysSocketSend, SysSocketSendVector } from "../../kernel/net/send";
import { Entry, isCached, loadEntry, lookUp, unuse, use } from "./cache";
import { allowsRange, isNotModified } from "./conditional";
import { decodePath, pathEnd, pathStart, ROOT } from "./path";
import { parseRange, Range, RangeKind } from "./range";
import { Method, Request } from "./request";
import { putEnd, putFileHeaders, putLength, putStart, putValidators, reason } from "./response";
import { putBytes, putNumber, putText } from "./text";
import { outputOf, pathOf, requestOf, vectorOf, Work } from "./work";

const S_IFMT: u32 = 0o170000;
const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;
/** A body that small goes out in one piece with its head. */
const JOINED_BYTES_MAX: u64 = 4096;
const STREAM_BYTES: u32 = 65536;

// Nothing yields between filling these and their last use.
const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const range = changetype<Range>(memory.data(offsetof<Range>()));

/** Answers the request in `work`. Yields. */
export function answer(work: Work): bool {
  const request = requestOf(work);
  // A body is not read, so what follows it cannot be told from it.
  if (request.hasBody) request.keepAlive = false;
  if (request.method == Method.Unknown) return fail(work, 501);
  if (request.method == Method.Known) return fail(work, 405);
  const end = request.target + request.targetBytes;
  const start = pathStart(request.target, request.targetBytes);
  if (start == 0) return fail(work, 400);
  const stop = start == ROOT ? start + 1 : pathEnd(start, end);
  const path = pathOf(work);
  const decoded = decodePath(start, stop, path);
  if (decoded < 0) return fail(work, <u32>-decoded);
  let bytes = <u32>decoded;
  const asDirectory = load<u8>(path + bytes - 1) == 0x2f;
  if (asDirectory) {
    bytes = <u32>(putText(path + bytes, "index.html") - path);
  }
  const found = SysStatFile(path, bytes, changetype<usize>(stat));
  if (found < 0) return fail(work, statusOf(found));
  const kind = stat.mode & S_IFMT;
  // An index that is a directory itself would be redirected to for ever.
  if (kind == S_IFDIR && !asDirectory) return redirect(work, start, stop, end);
  if (kind != S_IFREG) return fail(work, 403);
  return serveFile(work, bytes);
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

/** The file at pathOf(work), which `stat` describes. */
function serveFile(work: Work, pathBytes: u32): bool {
  const request = requestOf(work);
  if (isNotModified(request, stat)) return notModified(work);
  let status: u32 = 200;
  range.first = 0;
  range.last = stat.size - 1;
  if (request.range != 0 && request.method == Method.GET && allowsRange(request, stat)) {
    const kind = parseRange(request.range, request.rangeBytes, stat.size, range);
    if (kind == RangeKind.Unsatisfiable) return unsatisfiable(work);
    if (kind == RangeKind.Part) status = 206;
  }
  const first = range.first;
  const length = stat.size == 0 ? 0 : range.last - first + 1;
  if (request.method == Method.HEAD) {
    const head = fileHead(work, pathBytes, status, first, length);
    return send(work, outputOf(work), <u32>(head - outputOf(work))) && request.keepAlive;
  }
  const cached = isCached(stat.size);
  let entry = cached ? lookUp(pathOf(work), pathBytes, stat) : null;
  if (entry) return sendEntry(work, entry, status, first, length);
  // Opening the file yields, and other requests use `stat` meanwhile.
  const known = knownOf(work);
  copyStat(known, stat);
  entry = cached ? loadEntry(pathOf(work), pathBytes, known) : null;
  if (!entry) return stream(work, pathBytes, status, first, length);
  describe(entry, known);
  return sendEntry(work, entry, status, first, length);
}

/** What is known of a file that is being opened; in place of a response that has not begun. */
function knownOf(work: Work): FileStat {
  return changetype<FileStat>(outputOf(work));
}

/** Prepares what every response from the entry has in common. */
function describe(entry: Entry, s: FileStat): void {
  const end = putFileHeaders(entry.block, entry.path, entry.pathBytes, s);
  entry.blockBytes = <u32>(end - entry.block);
}

function putRange(at: usize, first: u64, length: u64, size: u64): usize {
  at = putText(at, "Content-Range: bytes ");
  at = putNumber(at, first);
  at = putText(at, "-");
  at = putNumber(at, first + length - 1);
  at = putText(at, "/");
  at = putNumber(at, size);
  return putText(at, "\r\n");
}

function sendEntry(work: Work, entry: Entry, status: u32, first: u64, length: u64): bool {
  const request = requestOf(work);
  const output = outputOf(work);
  let at = putStart(output, status);
  at = putBytes(at, entry.block, entry.blockBytes);
  if (status == 206) at = putRange(at, first, length, entry.size);
  at = putLength(at, length);
  at = putEnd(at, request.keepAlive);
  if (length <= JOINED_BYTES_MAX) {
    at = putBytes(at, entry.content + <usize>first, <u32>length);
    return send(work, output, <u32>(at - output)) && request.keepAlive;
  }
  use(entry);
  const body = entry.content + <usize>first;
  const sent = sendBoth(work, output, <u32>(at - output), body, <u32>length);
  unuse(entry);
  return sent && request.keepAlive;
}

function fileHead(work: Work, pathBytes: u32, status: u32, first: u64, length: u64): usize {
  let at = putStart(outputOf(work), status);
  at = putFileHeaders(at, pathOf(work), pathBytes, stat);
  if (status == 206) at = putRange(at, first, length, stat.size);
  at = putLength(at, length);
  return putEnd(at, requestOf(work).keepAlive);
}

/** Sends a part of the file that knownOf(work) describes, piece by piece. Yields. */
function stream(work: Work, pathBytes: u32, status: u32, first: u64, length: u64): bool {
  const buffer = ToroGetAlignedMem(STREAM_BYTES, 4096);
  if (buffer == 0) return fail(work, 503);
  const file = SysOpenFile(pathOf(work), pathBytes, 0);
  const again = file < 0
    ? fail(work, statusOf(file))
    : streamOpen(work, file, buffer, pathBytes, status, first, length);
  if (file >= 0) SysCloseFile(file);
  ToroFreeMem(buffer);
  return again;
}

function streamOpen(
  work: Work,
  file: i32,
  buffer: usize,
  pathBytes: u32,
  status: u32,
  first: u64,
  length: u64,
): bool {
  const found = SysStatOpenFile(file, changetype<usize>(stat));
  if (found < 0) return fail(work, statusOf(found));
  if (!isSameStat(stat, knownOf(work))) {
    // The name leads to another file by now: that one is the answer, and no part was asked of it.
    status = 200;
    first = 0;
    length = stat.size;
  }
  const end = first + length;
  const head = <u32>(fileHead(work, pathBytes, status, first, length) - outputOf(work));
  if (!send(work, outputOf(work), head)) return false;
  while (first < end) {
    const got = SysReadFileAt(file, buffer, <u32>min<u64>(end - first, STREAM_BYTES), first);
    // A file that has become shorter cannot be sent as announced: the connection ends instead.
    if (got <= 0 || !send(work, buffer, got)) return false;
    first += got;
  }
  return requestOf(work).keepAlive;
}

function isSameStat(a: FileStat, b: FileStat): bool {
  return a.ino == b.ino && a.size == b.size && a.mtimeNs == b.mtimeNs && a.ctimeNs == b.ctimeNs;
}

function notModified(work: Work): bool {
  const output = outputOf(work);
  let at = putStart(output, 304);
  at = putValidators(at, stat);
  at = putEnd(at, requestOf(work).keepAlive);
  return send(work, output, <u32>(at - output)) && requestOf(work).keepAlive;
}

function unsatisfiable(work: Work): bool {
  const output = outputOf(work);
  let at = putStart(output, 416);
  at = putText(at, "Content-Range: bytes */");
  at = putNumber(at, stat.size);
  at = putText(at, "\r\n");
  return sendText(work, at, 416);
}

/** A directory without its slash: relative links in its index would lead astray. */
function redirect(work: Work, start: usize, stop: usize, end: usize): bool {
  const output = outputOf(work);
  let at = putStart(output, 301);
  at = putText(at, "Location: ");
  // `//host` would lead to another server.
  while (start + 1 < stop && load<u8>(start, 1) == 0x2f) start++;
  at = putBytes(at, start, <u32>(stop - start));
  at = putText(at, "/");
  at = putBytes(at, stop, <u32>(end - stop)); // the query
  at = putText(at, "\r\n");
  return sendText(work, at, 301);
}

function fail(work: Work, status: u32): bool {
  // Who writes nonsense may mean anything by what follows.
  if (status == 400) requestOf(work).keepAlive = false;
  let at = putStart(outputOf(work), status);
  if (status == 405) at = putText(at, "Allow: GET, HEAD\r\n");
  return sendText(work, at, status);
}

/** Answers a head that could not be read; the connection ends. Yields. */
export function refuse(work: Work, status: u32): void {
  const request = requestOf(work);
  request.keepAlive = false;
  request.method = Method.GET;
  fail(work, status);
}

/** Ends the head at `at` and sends it with a line of text as body. */
function sendText(work: Work, at: usize, status: u32): bool {
  const request = requestOf(work);
  const text = reason(status);
  at = putText(at, "Content-Type: text/plain; charset=utf-8\r\n");
  at = putLength(at, text.length + 5);
  at = putEnd(at, request.keepAlive);
  if (request.method != Method.HEAD) {
    at = putNumber(at, status);
    at = putText(at, " ");
    at = putText(at, text);
    at = putText(at, "\n");
  }
  return send(work, outputOf(work), <u32>(at - outputOf(work))) && request.keepAlive;
}

/** Head and body in one call, so that they leave together. As send(). */
function sendBoth(work: Work, head: usize, headBytes: u32, body: usize, bodyBytes: u32): bool {
  const vector = vectorOf(work);
  const first = changetype<IoVec>(vector);
  const second = changetype<IoVec>(vector + offsetof<IoVec>());
  first.base = head;
  first.length = headBytes;
  second.base = body;
  second.length = bodyBytes;
  const sent = SysSocketSendVector(work.socket, vector, 2, 0);
  if (sent < <i32>headBytes) return false;
  const done = <u32>sent - headBytes;
  return send(work, body + done, bodyBytes - done);
}

/** Sends all of it. Yields. Returns false when the client has gone or takes nothing. */
function send(work: Work, buffer: usize, bytes: u32): bool {
  let sent: u32 = 0;
  while (sent < bytes) {
    // Less than all, for want of time: but some of it, so the time begins anew.
    const more = SysSocketSend(work.socket, buffer + sent, bytes - sent, 0);
    if (more <= 0) return false;
    sent += <u32>more;
  }
  return true;
}
