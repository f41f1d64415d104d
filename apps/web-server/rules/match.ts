// Finds the rules for a path: static ones by their hash, patterns in the order of their file. The
// parts of a path that a pattern leaves open are captured. Leaves.
import { FNV_BASIS, fnv1a, Span, span } from "torito/kernel/api";
import {
  SITE_CAPTURES_MAX,
  SiteList,
  SitePiece,
  SitePieceKind,
  SiteRule,
  SiteRules,
} from "torito/abi/site";

export const NO_RULE: u32 = 0xffff_ffff;

const captures: usize = memory.data(16 * 8);
if (SITE_CAPTURES_MAX != 16) ERROR("match: room for captures");

/** A part of the path that the last pattern left open when it matched, in its order. */
export function captureAt(i: u32): Span {
  return load<u64>(captures + (i << 3));
}

export function setCapture(i: u32, value: Span): void {
  store<u64>(captures + (i << 3), value);
}

/** The number of records of a list. */
export function countOf(list: usize): u32 {
  return load<u32>(list, SiteList.count);
}

/** A record of the list in `table`. */
export function itemOf(table: usize, list: usize, i: u32, size: u32): usize {
  return table + load<u32>(list, SiteList.at) + i * size;
}

/** The number of the first static rule for a path, from its bucket; NO_RULE: there is none. */
export function findStatic(table: usize, rules: usize, size: u32, path: usize, bytes: u32): u32 {
  const buckets = rules + SiteRules.buckets;
  const count = countOf(buckets);
  if (count == 0) return NO_RULE;
  const bucket = fnv1a(FNV_BASIS, path, bytes) & (count - 1);
  const first = load<u32>(itemOf(table, buckets, bucket, 4));
  return sameFrom(table, rules, size, first, path, bytes);
}

/** The next one after `rule` for the same path. */
export function nextStatic(
  table: usize,
  rules: usize,
  size: u32,
  rule: u32,
  path: usize,
  bytes: u32,
): u32 {
  const at = itemOf(table, rules + SiteRules.rules, rule, size);
  return sameFrom(table, rules, size, load<u32>(at, SiteRule.next), path, bytes);
}

/** The first of a chain, which begins with number `next` - 1, that is for this path. */
function sameFrom(
  table: usize,
  rules: usize,
  size: u32,
  next: u32,
  path: usize,
  bytes: u32,
): u32 {
  while (next != 0) {
    const rule = itemOf(table, rules + SiteRules.rules, next - 1, size);
    if (matches(table, rule, path, bytes)) return next - 1;
    next = load<u32>(rule, SiteRule.next);
  }
  return NO_RULE;
}

/** Is the rule for this path? Fills the captures. */
export function matches(table: usize, rule: usize, path: usize, bytes: u32): bool {
  const pieces = rule + SiteRule.path;
  const count = countOf(pieces);
  const end = path + bytes;
  let p = path;
  for (let i: u32 = 0; i < count; i++) {
    const piece = itemOf(table, pieces, i, SitePiece.sizeof);
    const at = load<u32>(piece, SitePiece.at);
    const kind = load<u32>(piece, SitePiece.kind);
    if (kind == <u32>SitePieceKind.LITERAL) {
      const length = load<u32>(piece, SitePiece.bytes);
      if (length > <u32>(end - p) || memory.compare(p, table + at, length) != 0) return false;
      p += length;
    } else {
      const start = p;
      if (kind == <u32>SitePieceKind.REST) p = end;
      else while (p < end && load<u8>(p) != 0x2f) p++;
      if (p == start && kind == <u32>SitePieceKind.SEGMENT) return false;
      setCapture(at, span(start, <u32>(p - start)));
    }
  }
  return p == end;
}
