// The headers that describe a file, and those that the settings add to every answer. Leaves.
import { Span, span, spanBytes, text } from "torito/kernel/api";
import { SiteFlag, SiteHeader, SiteList, SiteTable, SiteType } from "torito/abi/site";
import { putType, TypeId, typeOf } from "torito/guest/http/mime";
import { putValidators } from "torito/guest/http/response";
import { isText, lower, putText } from "torito/guest/http/text";
import { Coding, nameOf } from "./coding";
import { Entry } from "./entry";
import { Site, textAt } from "./rules/site";

/** The most that they take together. */
export const FILE_HEADERS_BYTES_MAX: i32 = 1024;

/** Types of the settings have numbers from here on. */
const OWN_TYPE: TypeId = 0x4000_0000;

/** The type of a path by its extension: one of the settings, or of the server's table. */
export function typeIn(site: Site, path: usize, bytes: u32): TypeId {
  const types = site.table + SiteTable.types;
  const count = load<u32>(types, SiteList.count);
  if (count != 0) {
    const extension = extensionOf(path, bytes);
    for (let i: u32 = 0; i < count; i++) {
      const name = textAt(site, typeAt(site, i) + SiteType.extension);
      if (isText(<usize>(extension >> 32), spanBytes(extension), name)) return OWN_TYPE + i;
    }
  }
  return typeOf(path, bytes);
}

function typeAt(site: Site, i: u32): usize {
  return site.table + load<u32>(site.table, SiteTable.types + SiteList.at) + i * SiteType.sizeof;
}

/** The text after the last dot of a path's last segment; 0 bytes: there is none. */
function extensionOf(path: usize, bytes: u32): Span {
  const end = path + bytes;
  let at = end;
  while (at > path && load<u8>(at - 1) != 0x2e && load<u8>(at - 1) != 0x2f) at--;
  return at == path || load<u8>(at - 1) == 0x2f ? 0 : span(at, <u32>(end - at));
}

function putTypeOf(at: usize, site: Site, type: TypeId): usize {
  const own = type - OWN_TYPE;
  if (own >= load<u32>(site.table, SiteTable.types + SiteList.count)) return putType(at, type);
  return putText(at, textAt(site, typeAt(site, own) + SiteType.type));
}

/**
 * SI5: has the last segment a part of at least eight letters, digits and `_`, one digit among them,
 * between a dot or a hyphen and a dot? Bundlers put a hash of the content there.
 */
export function hasHash(path: usize, bytes: u32): bool {
  const end = path + bytes;
  let run: u32 = 0;
  let digits: u32 = 0;
  let begun = false; // after a dot or a hyphen
  for (let p = path; p < end; p++) {
    const c: u32 = load<u8>(p);
    if (isWord(c)) {
      run++;
      if (c - 0x30 < 10) digits++;
      continue;
    }
    if (c == 0x2e && begun && run >= 8 && digits != 0) return !hasSlash(p, end);
    begun = c == 0x2e || c == 0x2d;
    run = digits = 0;
  }
  return false;
}

function isWord(c: u32): bool {
  return lower(c) - 0x61 < 26 || c - 0x30 < 10 || c == 0x5f;
}

function hasSlash(p: usize, end: usize): bool {
  while (p < end && load<u8>(p) != 0x2f) p++;
  return p != end;
}

/** All headers of a file's answers that do not depend on the request, but for those `replaced`. */
export function putFileHeaders(at: usize, entry: Entry, site: Site, replaced: u32): usize {
  if ((replaced & SiteHeader.CONTENT_TYPE) == 0) at = putContentType(at, entry, site);
  if (entry.coding != Coding.Identity) {
    at = putText(at, text("Content-Encoding: "));
    at = putText(at, nameOf(entry.coding));
    at = putText(at, text("\r\n"));
  }
  at = putText(at, text("Accept-Ranges: bytes\r\n"));
  at = putValidators(at, entry.version);
  at = putCachePolicy(at, entry, site, replaced);
  return putSafety(at, site, replaced);
}

export function putContentType(at: usize, entry: Entry, site: Site): usize {
  at = putText(at, text("Content-Type: "));
  at = putTypeOf(at, site, entry.type);
  return putText(at, text("\r\n"));
}

const scratch: usize = memory.data(128);

function isHtml(site: Site, type: TypeId): bool {
  const end = putTypeOf(scratch, site, type);
  let p = scratch;
  while (p < end && load<u8>(p) != 0x3b && load<u8>(p) != 0x20) p++;
  const bytes = <u32>(p - scratch);
  return (
    isText(scratch, bytes, text("text/html")) ||
    isText(scratch, bytes, text("application/xhtml+xml"))
  );
}

/** SI5: pages are asked about each time; what a hash names never changes. */
export function putCachePolicy(at: usize, entry: Entry, site: Site, replaced: u32): usize {
  if ((replaced & SiteHeader.CACHE_CONTROL) != 0) return at;
  if (isHtml(site, entry.type)) return putText(at, NO_CACHE);
  if (!entry.hashed) return at;
  return putText(at, text("Cache-Control: public, max-age=31536000, immutable\r\n"));
}

export const NO_CACHE = text("Cache-Control: no-cache\r\n");

/** SI9, and the half of SI10 that is for everybody. */
export function putSafety(at: usize, site: Site, replaced: u32): usize {
  if ((replaced & SiteHeader.CONTENT_TYPE_OPTIONS) == 0) {
    at = putText(at, text("X-Content-Type-Options: nosniff\r\n"));
  }
  if (site.has(SiteFlag.SECURITY_HEADERS)) at = putPolicies(at, replaced);
  const open = site.has(SiteFlag.ANY_ORIGIN) && (replaced & SiteHeader.ALLOW_ORIGIN) == 0;
  return open ? putText(at, text("Access-Control-Allow-Origin: *\r\n")) : at;
}

function putPolicies(at: usize, replaced: u32): usize {
  if ((replaced & SiteHeader.REFERRER_POLICY) == 0) {
    at = putText(at, text("Referrer-Policy: strict-origin-when-cross-origin\r\n"));
  }
  if ((replaced & SiteHeader.FRAME_OPTIONS) == 0) {
    at = putText(at, text("X-Frame-Options: SAMEORIGIN\r\n"));
  }
  if ((replaced & SiteHeader.OPENER_POLICY) == 0) {
    at = putText(at, text("Cross-Origin-Opener-Policy: same-origin\r\n"));
  }
  return at;
}
