// Heads of answers: what all of them have, and answers without a file.
import { Span, spanAddress, spanBytes, text } from "torito/kernel/api";
import { SiteHeader } from "torito/abi/site";
import { decodePath } from "torito/guest/http/path";
import { Method } from "torito/guest/http/request-head";
import { putEnd, putLength, putStart, reason } from "torito/guest/http/response";
import { putBytes, putNumber, putText } from "torito/guest/http/text";
import { Connection } from "./connections";
import { putAllowOrigin } from "./cors";
import { Event, note } from "./events";
import { NO_CACHE, putSafety } from "./file-headers";
import { hasHeaderRules, matchHeaders, matchNoHeaders, putRuleHeaders } from "./rules/headers";
import { giveSite, NO_SITE, takeSite } from "./rules/site";
import { OUTPUT_BYTES, outputOf, pathOf, requestOf, REST_BYTES, Work } from "./work";

/** The methods of this server. */
const ALLOW = text("Allow: GET, HEAD, OPTIONS\r\n");
/** Seconds after which a client may try again when memory was short. */
const RETRY_AFTER_S: u32 = 1;
/** Headers that rules do not set for errors, which are not the file that they describe. */
const OF_FILES: u32 = SiteHeader.CACHE_CONTROL | SiteHeader.CONTENT_TYPE;

/**
 * Finds the header rules for the request, for putAdded(). Returns which headers of the server's own
 * they replace. The head must follow at once, without a wait.
 */
export function matchRules(work: Work): u32 {
  if (work.pathBytes == 0 || !hasHeaderRules(work.site)) {
    matchNoHeaders();
    return 0;
  }
  const path = pathOf(work);
  const request = requestOf(work);
  if (work.rewritten) decodePath(request.path, request.path + request.pathBytes, path);
  return matchHeaders(work.site, path, work.pathBytes);
}

/**
 * Writes what settings and rules add to an answer, but for the headers in the mask `dropped`.
 * Returns the address after it; 0: there is no room.
 */
export function putAdded(at: usize, work: Work, replaced: u32, dropped: u32): usize {
  if ((replaced & SiteHeader.ALLOW_ORIGIN) == 0) {
    at = putAllowOrigin(at, work.site, requestOf(work));
  }
  return putRuleHeaders(at, outputOf(work) + OUTPUT_BYTES - REST_BYTES, work.site, dropped);
}

/** An answer whose rules have too long headers. Without them it may be wrong to send the file. */
export function tooLong(c: Connection): u32 {
  note(Event.LongHead);
  c.work.pathBytes = 0;
  return fail(c, 500);
}

/** An answer without a file. */
export function fail(c: Connection, status: u32): u32 {
  if (status == 400) c.keepAlive = false; // HF11
  const replaced = matchRules(c.work);
  let at = putStart(outputOf(c.work), status);
  if (status == 405) at = putText(at, ALLOW);
  if (status == 503) {
    note(Event.NoMemory);
    at = putRetryAfter(at);
  }
  return putReason(c, at, status, replaced);
}

/** OPTIONS, of a file or of the server (HF10). */
export function answerOptions(c: Connection): u32 {
  const work = c.work;
  let at = putText(putStart(outputOf(work), 204), ALLOW);
  at = putAllowOrigin(putSafety(at, work.site, 0), work.site, requestOf(work));
  return <u32>(putEnd(at, c.keepAlive) - outputOf(work));
}

/** Answers without a look at the site's files. Yields if the settings have changed. */
export function refuse(c: Connection, status: u32): u32 {
  beginRequest(c);
  const bytes = fail(c, status);
  endRequest(c);
  return bytes;
}

/** Begins an answer: its settings are those of now. Yields if they have changed. */
export function beginRequest(c: Connection): void {
  const work = c.work;
  work.pathBytes = 0;
  work.rewritten = false;
  work.site = takeSite();
}

export function endRequest(c: Connection): void {
  giveSite(c.work.site);
  c.work.site = NO_SITE;
}

function putRetryAfter(at: usize): usize {
  at = putText(at, text("Retry-After: "));
  at = putNumber(at, RETRY_AFTER_S);
  return putText(at, text("\r\n"));
}

/** Adds the slash to a directory's name, which relative links in its index need. */
export function redirectToDirectory(c: Connection): u32 {
  return redirectLocally(c, 0, text("/"));
}

/** Leaves out the last `bytes` of the path. */
export function redirectToShorter(c: Connection, bytes: u32): u32 {
  return redirectLocally(c, bytes, text(""));
}

/** To the path without its last `bytes`, with `ending`. */
function redirectLocally(c: Connection, bytes: u32, ending: Span): u32 {
  const work = c.work;
  const request = requestOf(work);
  const replaced = matchRules(work);
  let start = request.path;
  const stop = start + request.pathBytes - bytes;
  // `//host` would lead to another server.
  while (start + 1 < stop && load<u8>(start, 1) == 0x2f) start++;
  let at = putStart(outputOf(work), 301);
  at = putText(at, text("Location: "));
  at = putBytes(at, start, <u32>(stop - start));
  at = putText(at, ending);
  at = putBytes(at, request.query, request.queryBytes);
  at = putText(at, text("\r\n"));
  return putReason(c, at, 301, replaced);
}

/** As a rule has it. */
export function redirectTo(c: Connection, status: u32, location: Span): u32 {
  const replaced = matchRules(c.work);
  let at = putStart(outputOf(c.work), status);
  at = putText(at, text("Location: "));
  at = putBytes(at, spanAddress(location), spanBytes(location));
  at = putText(at, text("\r\n"));
  return putReason(c, at, status, replaced);
}

/** Ends the head at `at`, with a line of text as body. */
export function putReason(c: Connection, at: usize, status: u32, replaced: u32): u32 {
  const work = c.work;
  const line = reason(status);
  at = putText(at, text("Content-Type: text/plain; charset=utf-8\r\n"));
  let dropped: u32 = SiteHeader.CONTENT_TYPE;
  if (status >= 400) {
    at = putText(at, NO_CACHE);
    dropped = OF_FILES;
  }
  at = putSafety(at, work.site, replaced);
  at = putAdded(at, work, replaced, dropped);
  if (at == 0) return tooLong(c);
  at = putLength(at, spanBytes(line) + 5);
  at = putEnd(at, c.keepAlive);
  if (requestOf(work).method != Method.HEAD) {
    c.joined = spanBytes(line) + 5;
    at = putNumber(at, status);
    at = putText(at, text(" "));
    at = putText(at, line);
    at = putText(at, text("\n"));
  }
  return <u32>(at - outputOf(work));
}

/** Writes the answer for want of memory to `at`, without more memory. Returns its end. */
export function putUnavailable(at: usize): usize {
  at = putStart(at, 503);
  at = putText(at, NO_CACHE);
  at = putRetryAfter(at);
  at = putLength(at, 0);
  return putEnd(at, false);
}
