// Answers with a file: which coding and which part of it, and the head before it.
import { Errno, FileStat, spanAddress, spanBytes, text } from "torito/kernel/api";
import { SiteFlag, SiteHeader } from "torito/abi/site";
import { allowsRange, preconditions } from "torito/guest/http/conditional";
import { parseRanges, rangeAt, RangeKind } from "torito/guest/http/range";
import { Field, Method, RequestHead } from "torito/guest/http/request-head";
import { putEnd, putLength, putRange, putStart, putValidators } from "torito/guest/http/response";
import { putBytes, putNumber, putText } from "torito/guest/http/text";
import { loadError, putHeadersOf, release } from "./cache";
import { chooseCoding, Coding } from "./coding";
import { Connection } from "./connections";
import { Entry, fileKey } from "./entry";
import {
  hasHash,
  NO_CACHE,
  putCachePolicy,
  putContentType,
  putSafety,
  typeIn,
} from "./file-headers";
import { openEntry } from "./open";
import { createParts, freeParts } from "./parts";
import { fail, matchRules, putAdded, putReason, tooLong } from "./respond";
import { findCodings, openCoded } from "./siblings";
import { OUTPUT_BYTES, outputOf, pathOf, requestOf } from "./work";

/** A body of up to this size is sent in one piece with its head. */
const JOINED_BYTES_MAX: u64 = 4096;
const VARY = text("Vary: Accept-Encoding\r\n");

// Nothing yields between setting it and its last use.
const typeLine: usize = memory.data(256);

/** The status of the answer when a file cannot be had. */
export function statusOf(error: i32): u32 {
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

/** The file at pathOf(work), whose attributes are in `stat` as far as known. Yields. */
function openFile(c: Connection, pathBytes: u32, stat: FileStat): Entry | null {
  const site = c.work.site;
  const path = pathOf(c.work);
  const hashed = site.has(SiteFlag.IMMUTABLE) && hasHash(path, pathBytes);
  const type = typeIn(site, path, pathBytes);
  const key = fileKey(type, Coding.Identity, hashed, site.number);
  return openEntry(stat, path, pathBytes, key, site);
}

/** Serves the file at pathOf(work), whose attributes are in `stat` as far as known. Yields. */
export function serveFile(c: Connection, pathBytes: u32, stat: FileStat): u32 {
  const found = openFile(c, pathBytes, stat);
  if (!found) return fail(c, statusOf(loadError()));
  const request = requestOf(c.work);
  const entry = select(c, found, pathBytes);
  const version = entry.version;
  const status = preconditions(request, version);
  if (status == 304) return notModified(c, entry);
  if (status == 412) return preconditionFailed(c, entry);
  switch (rangesOf(request, entry)) {
    case RangeKind.Unsatisfiable: return unsatisfiable(c, entry);
    case RangeKind.Part: return sendFile(c, entry, 206, rangeAt(0).first, rangeAt(0).length);
    case RangeKind.Parts: return sendParts(c, entry);
    default: return sendFile(c, entry, 200, 0, entry.size);
  }
}

/** SI12: the parts of the file that are asked for. */
function rangesOf(request: RequestHead, entry: Entry): RangeKind {
  // Two lines are no list: the field is malformed.
  if (request.lines(Field.Range) != 1 || request.method != Method.GET) return RangeKind.Whole;
  if (!allowsRange(request, entry.version)) return RangeKind.Whole;
  const ranges = request.value(Field.Range);
  return parseRanges(spanAddress(ranges), spanBytes(ranges), entry.size);
}

/** The file itself, or the sibling that the client wants. Yields if siblings are looked for. */
function select(c: Connection, entry: Entry, pathBytes: u32): Entry {
  const work = c.work;
  if (!work.site.has(SiteFlag.PRECOMPRESSED)) return entry;
  const path = pathOf(work);
  findCodings(entry, path, pathBytes);
  while (entry.codings != 0) {
    const coding = chooseCoding(requestOf(work), entry.codings);
    if (coding == Coding.Identity) break;
    const coded = openCoded(entry, coding, path, pathBytes, work.site);
    if (!coded) continue; // without this one
    coded.codings = coding;
    release(entry);
    return coded;
  }
  return entry;
}

/** 200 with all of the file, or 206 with a part of it. */
function sendFile(c: Connection, entry: Entry, status: u32, first: u64, length: u64): u32 {
  const work = c.work;
  const replaced = matchRules(work);
  let at = putStart(outputOf(work), status);
  at = putHeadersOf(at, entry, work.site, replaced);
  if (entry.codings != 0) at = putText(at, VARY);
  if (status == 206) at = putRange(at, first, length, entry.size);
  at = putLength(at, length);
  at = putAdded(at, work, replaced, 0);
  if (at == 0) return withoutFile(c, entry);
  return attach(c, putEnd(at, c.keepAlive), entry, first, length);
}

/** 206 with the ranges that were parsed last; without memory for it, 200. */
function sendParts(c: Connection, entry: Entry): u32 {
  const work = c.work;
  const site = work.site;
  const replaced = matchRules(work);
  const typeBytes = <u32>(putContentType(typeLine, entry, site) - typeLine);
  const parts = createParts(entry.size, typeLine, typeBytes);
  if (!parts) return sendFile(c, entry, 200, 0, entry.size);
  let at = putStart(outputOf(work), 206);
  at = putHeadersOf(at, entry, site, replaced | SiteHeader.CONTENT_TYPE);
  if (entry.codings != 0) at = putText(at, VARY);
  at = putText(at, text("Content-Type: multipart/byteranges; boundary="));
  at = putText(parts.putBoundary(at), text("\r\n"));
  at = putLength(at, parts.bodyBytes);
  // A rule's type is that of the file, and the head of each part has the server's.
  at = putAdded(at, work, replaced, SiteHeader.CONTENT_TYPE);
  if (at == 0) {
    freeParts(parts);
    return withoutFile(c, entry);
  }
  c.entry = entry;
  c.parts = parts;
  return <u32>(putEnd(at, c.keepAlive) - outputOf(work));
}

/** The rules' headers are too long. */
function withoutFile(c: Connection, entry: Entry): u32 {
  release(entry);
  return tooLong(c);
}

/** Has `length` bytes of the file follow the head that ends at `at`. */
function attach(c: Connection, at: usize, entry: Entry, first: u64, length: u64): u32 {
  const output = outputOf(c.work);
  const room = output + OUTPUT_BYTES - at;
  if (requestOf(c.work).method == Method.HEAD) {
    release(entry);
  } else if (entry.content != 0 && length <= min<u64>(JOINED_BYTES_MAX, room)) {
    at = putBytes(at, entry.content + <usize>first, <u32>length);
    c.joined = <u32>length;
    release(entry);
  } else {
    c.entry = entry;
    c.at = first;
    c.end = first + length;
  }
  return <u32>(at - output);
}

function notModified(c: Connection, entry: Entry): u32 {
  const work = c.work;
  const replaced = matchRules(work);
  let at = putStart(outputOf(work), 304);
  at = putValidators(at, entry.version);
  at = putCachePolicy(at, entry, work.site, replaced);
  if (entry.codings != 0) at = putText(at, VARY);
  at = putSafety(at, work.site, replaced);
  at = putAdded(at, work, replaced, SiteHeader.CONTENT_TYPE);
  if (at == 0) return withoutFile(c, entry);
  at = putEnd(at, c.keepAlive);
  release(entry);
  return <u32>(at - outputOf(work));
}

function preconditionFailed(c: Connection, entry: Entry): u32 {
  const hasCodings = entry.codings != 0;
  release(entry);
  const replaced = matchRules(c.work);
  const at = putStart(outputOf(c.work), 412);
  return putReason(c, hasCodings ? putText(at, VARY) : at, 412, replaced);
}

function unsatisfiable(c: Connection, entry: Entry): u32 {
  const replaced = matchRules(c.work);
  let at = putStart(outputOf(c.work), 416);
  at = putText(at, text("Content-Range: bytes */"));
  at = putNumber(at, entry.size);
  at = putText(at, text("\r\n"));
  if (entry.codings != 0) at = putText(at, VARY);
  release(entry);
  return putReason(c, at, 416, replaced);
}

/**
 * Sends the file at pathOf(work) as the page of an error. Yields. 0: it cannot be had. It is not
 * what was asked for: it has no validators, no parts and no codings.
 */
export function serveErrorPage(c: Connection, pathBytes: u32, stat: FileStat, status: u32): u32 {
  const entry = openFile(c, pathBytes, stat);
  if (!entry) return 0;
  const replaced = matchRules(c.work);
  const at = putContentType(putStart(outputOf(c.work), status), entry, c.work.site);
  return sendPage(c, at, entry, replaced);
}

/** The rest of an answer with all of `entry`, which clients ask for each time. */
export function sendPage(c: Connection, at: usize, entry: Entry, replaced: u32): u32 {
  const work = c.work;
  at = putText(at, NO_CACHE);
  at = putSafety(at, work.site, replaced);
  at = putLength(at, entry.size);
  at = putAdded(at, work, replaced, SiteHeader.CACHE_CONTROL | SiteHeader.CONTENT_TYPE);
  if (at == 0) return withoutFile(c, entry);
  return attach(c, putEnd(at, c.keepAlive), entry, 0, entry.size);
}
