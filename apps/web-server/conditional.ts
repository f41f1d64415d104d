// Conditional requests (RFC 9110, 13). A leaf.
import { FileStat } from "../../kernel/fs/stat";
import { parseDate } from "./date";
import { Request } from "./request";
import { modifiedSecond, putEtag } from "./response";
import { isSame } from "./text";

const etag: usize = memory.data(64);

function etagBytes(stat: FileStat): u32 {
  return <u32>(putEtag(etag, stat) - etag);
}

/** May the answer be 304? If-None-Match is compared weakly and hides If-Modified-Since (13.2.2). */
export function isNotModified(request: Request, stat: FileStat): bool {
  if (request.ifNoneMatch != 0) {
    return listHasEtag(request.ifNoneMatch, request.ifNoneMatchBytes, etagBytes(stat));
  }
  if (request.ifModifiedSince == 0) return false;
  const since = parseDate(request.ifModifiedSince, request.ifModifiedSinceBytes);
  return since >= 0 && modifiedSecond(stat) <= <u64>since;
}

/** `*`, or a list of entity tags with or without `W/`. */
function listHasEtag(at: usize, bytes: u32, ownBytes: u32): bool {
  const end = at + bytes;
  if (bytes == 1 && load<u8>(at) == 0x2a) return true;
  for (let p = at; p < end; p++) {
    if (load<u8>(p) != 0x22) continue;
    const start = p++;
    while (p < end && load<u8>(p) != 0x22) p++;
    if (p < end && isSame(start, <u32>(p + 1 - start), etag, ownBytes)) return true;
  }
  return false;
}

/** Does If-Range allow a part? The tag must be ours and strong, a date must be exact (13.1.5). */
export function allowsRange(request: Request, stat: FileStat): bool {
  const at = request.ifRange;
  const bytes = request.ifRangeBytes;
  if (at == 0) return true;
  if (bytes > 0 && load<u8>(at) == 0x22) return isSame(at, bytes, etag, etagBytes(stat));
  const since = parseDate(at, bytes);
  return since >= 0 && modifiedSecond(stat) == <u64>since;
}
