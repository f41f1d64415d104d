// Conditional requests (RFC 9110, 13). A leaf.
import { Span, spanAddress, spanBytes, text } from "../../kernel/api";
import { NO_DATE, parseDate } from "./date";
import { nextValue } from "./fields";
import { Field, RequestHead } from "./request-head";
import { modifiedSecond, nowSecond, putOpaqueTag, TAG_BYTES_MAX } from "./response";
import { isSame } from "./text";
import { Version } from "./version";

const ASTERISK: u32 = 0x2a;
const COMMA: u32 = 0x2c;
const SLASH: u32 = 0x2f;
const QUOTE: u32 = 0x22;
const WEAK: u32 = 0x57; // W

const tag: usize = memory.data(TAG_BYTES_MAX);

/**
 * Evaluates the preconditions of a GET or HEAD in the order of RFC 9110, 13.2.2 (SI12), up to
 * If-Range. Returns 412, 304, or 0: the file is to be sent.
 */
export function preconditions(request: RequestHead, version: Version): u32 {
  if (request.lines(Field.IfMatch) != 0) {
    if (!hasTag(request, Field.IfMatch, text("if-match"), version, true)) return 412;
  } else if (isAfter(request, Field.IfUnmodifiedSince, version) == 1) {
    return 412;
  }
  if (request.lines(Field.IfNoneMatch) != 0) {
    return hasTag(request, Field.IfNoneMatch, text("if-none-match"), version, false) ? 304 : 0;
  }
  return isAfter(request, Field.IfModifiedSince, version) == 0 ? 304 : 0;
}

/**
 * Was the file modified after the date in this field? 1: yes; 0: no; -1: the field is not there, or
 * no date, or two, or the file has no date to compare, and so it is ignored (13.1.3, 13.1.4).
 */
function isAfter(request: RequestHead, field: Field, version: Version): i32 {
  if (request.lines(field) != 1 || version.isUndated) return -1;
  const value = request.value(field);
  const date = parseDate(spanAddress(value), spanBytes(value), nowSecond());
  if (date == NO_DATE) return -1;
  return modifiedSecond(version) > date ? 1 : 0;
}

/**
 * Has the field, whose lines are one list, the tag of the file, or `*`, which any file matches?
 * ET4: compared strongly, a weak tag equals none.
 */
function hasTag(
  request: RequestHead,
  field: Field,
  name: Span,
  version: Version,
  strongly: bool,
): bool {
  const own = <u32>(putOpaqueTag(tag, version) - tag);
  const canMatch = !strongly || !version.isWeak;
  let value = request.value(field);
  while (value != 0) {
    const at = spanAddress(value);
    const end = at + spanBytes(value);
    if (end - at == 1 && load<u8>(at) == ASTERISK) return true;
    if (canMatch && listHasTag(at, end, own, strongly)) return true;
    value = nextValue(request, field, name, value);
  }
  return false;
}

/** Entity tags, with commas between them; from the first fault on the list is ignored. */
function listHasTag(at: usize, end: usize, ownBytes: u32, strongly: bool): bool {
  let p = at;
  while (p < end) {
    const c: u32 = load<u8>(p);
    if (c == COMMA || c == 0x20 || c == 9) {
      p++;
      continue;
    }
    const isWeak = c == WEAK && p + 1 < end && load<u8>(p, 1) == SLASH;
    if (isWeak) p += 2;
    if (p == end || load<u8>(p) != QUOTE) return false;
    const start = p++;
    while (p < end && load<u8>(p) != QUOTE) p++;
    if (p == end) return false;
    p++;
    if (isSame(start, <u32>(p - start), tag, ownBytes) && !(strongly && isWeak)) return true;
  }
  return false;
}

/**
 * Does If-Range allow a partial response? The tag must match and be strong, a date be exact and
 * strong (13.1.5): a file that was modified in the second of its response may change again in that
 * second (8.8.2.2).
 */
export function allowsRange(request: RequestHead, version: Version): bool {
  const condition = request.value(Field.IfRange);
  if (condition == 0) return true;
  if (request.lines(Field.IfRange) != 1) return false;
  const at = spanAddress(condition);
  const bytes = spanBytes(condition);
  if (bytes > 0 && load<u8>(at) == QUOTE) {
    return !version.isWeak && isSame(at, bytes, tag, <u32>(putOpaqueTag(tag, version) - tag));
  }
  if (version.isUndated) return false;
  const now = nowSecond();
  const modified = modifiedSecond(version);
  return modified < now && modified == parseDate(at, bytes, now);
}
