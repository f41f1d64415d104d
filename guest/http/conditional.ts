// Conditional requests (RFC 9110, 13). A leaf.
import { spanAddress, spanBytes } from "../../kernel/api";
import { NO_DATE, parseDate } from "./date";
import { Field, RequestHead } from "./request-head";
import { modifiedSecond, nowSecond, putOpaqueTag } from "./response";
import { isSame } from "./text";
import { Version } from "./version";

const tag: usize = memory.data(64);

function tagBytes(version: Version): u32 {
  return <u32>(putOpaqueTag(tag, version) - tag);
}

/** May the answer be 304? If-None-Match is compared weakly and hides If-Modified-Since (13.2.2). */
export function isNotModified(request: RequestHead, version: Version): bool {
  const tags = request.value(Field.IfNoneMatch);
  if (tags != 0) return listHasTag(spanAddress(tags), spanBytes(tags), tagBytes(version));
  const date = request.value(Field.IfModifiedSince);
  if (date == 0) return false;
  const since = parseDate(spanAddress(date), spanBytes(date), nowSecond());
  return since != NO_DATE && modifiedSecond(version) <= since;
}

/** `*`, or a list of entity tags with or without `W/`. */
function listHasTag(at: usize, bytes: u32, ownBytes: u32): bool {
  const end = at + bytes;
  if (bytes == 1 && load<u8>(at) == 0x2a) return true;
  for (let p = at; p < end; p++) {
    if (load<u8>(p) != 0x22) continue;
    const start = p++;
    while (p < end && load<u8>(p) != 0x22) p++;
    if (p < end && isSame(start, <u32>(p + 1 - start), tag, ownBytes)) return true;
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
  const at = spanAddress(condition);
  const bytes = spanBytes(condition);
  if (bytes > 0 && load<u8>(at) == 0x22) {
    return !version.weak && isSame(at, bytes, tag, tagBytes(version));
  }
  const now = nowSecond();
  const modified = modifiedSecond(version);
  return modified < now && modified == parseDate(at, bytes, now);
}
