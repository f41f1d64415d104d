// `_redirects`: the first rule for a path and its query, and where it leads. Leaves.
import { Span, span, spanAddress, spanBytes, text } from "torito/kernel/api";
import {
  SiteCondition,
  SitePiece,
  SitePieceKind,
  SiteRedirectRule,
  SiteRules,
  SiteTable,
  SiteText,
} from "torito/abi/site";
import { hexDigit, isSame, putBytes } from "torito/guest/http/text";
import {
  captureAt,
  countOf,
  findStatic,
  itemOf,
  matches,
  nextStatic,
  NO_RULE,
  setCapture,
} from "./match";
import { putEscape } from "../escape";
import { Site, textAt } from "./site";

const RULE_BYTES: u32 = SiteRedirectRule.sizeof;
/** A longer target is not sent: the request is refused with 414. */
export const TARGET_BYTES_MAX: u32 = 4096;
const QUERY_BYTES_MAX: u32 = 8192;

const target: usize = memory.data(4096);
/** Decoded values of the query. */
const values: usize = memory.data(8192);
let valuesUsed: u32 = 0;

/** Has the site any such rules? */
export function hasRedirects(site: Site): bool {
  return countOf(site.table + (SiteTable.redirects + SiteRules.rules)) != 0;
}

/**
 * The address of the first rule for a decoded path and a query, of those that hold where there is a
 * file if `forced`; 0: there is none. Its captures stay until the next search.
 */
export function findRedirect(
  site: Site,
  path: usize,
  bytes: u32,
  query: Span,
  forced: bool,
): usize {
  const table = site.table;
  const rules = table + SiteTable.redirects;
  const list = rules + SiteRules.rules;
  let fixed = findStatic(table, rules, RULE_BYTES, path, bytes);
  while (fixed != NO_RULE && forced && !isForced(itemOf(table, list, fixed, RULE_BYTES))) {
    fixed = nextStatic(table, rules, RULE_BYTES, fixed, path, bytes);
  }
  const dynamic = rules + SiteRules.dynamic;
  for (let i: u32 = 0; i < countOf(dynamic); i++) {
    const number = load<u32>(itemOf(table, dynamic, i, 4));
    if (number > fixed) break;
    const rule = itemOf(table, list, number, RULE_BYTES);
    if (forced && !isForced(rule)) continue;
    if (matches(table, rule, path, bytes) && holds(site, rule, query)) return rule;
  }
  return fixed == NO_RULE ? 0 : itemOf(table, list, fixed, RULE_BYTES);
}

function isForced(rule: usize): bool {
  return load<u32>(rule, SiteRedirectRule.forced) != 0;
}

export function statusOf(rule: usize): u32 {
  return load<u32>(rule, SiteRedirectRule.status);
}

/** Do all conditions on the query hold? Fills their captures. */
function holds(site: Site, rule: usize, query: Span): bool {
  const conditions = rule + SiteRedirectRule.conditions;
  valuesUsed = 0;
  for (let i: u32 = 0; i < countOf(conditions); i++) {
    const one = itemOf(site.table, conditions, i, SiteCondition.sizeof);
    const value = parameter(query, textAt(site, one + SiteCondition.name));
    if (value == 0) return false;
    if (load<u32>(one, SiteCondition.value + SiteText.at) == 0) {
      setCapture(load<u32>(one, SiteCondition.capture), value);
    } else {
      const wanted = textAt(site, one + SiteCondition.value);
      const bytes = spanBytes(value);
      if (!isSame(spanAddress(value), bytes, spanAddress(wanted), spanBytes(wanted))) return false;
    }
  }
  return true;
}

/** The decoded value of the first parameter with that name; 0: it is not there, or is broken. */
function parameter(query: Span, name: Span): Span {
  let p = spanAddress(query);
  const end = p + spanBytes(query);
  while (p < end) {
    let stop = p;
    while (stop < end && load<u8>(stop) != 0x26) stop++;
    let equals = p;
    while (equals < stop && load<u8>(equals) != 0x3d) equals++;
    if (isSame(p, <u32>(equals - p), spanAddress(name), spanBytes(name))) {
      return decoded(min(equals + 1, stop), stop);
    }
    p = stop + 1;
  }
  return 0;
}

/** A value of a query: `+` is a space. */
function decoded(p: usize, end: usize): Span {
  const start = values + valuesUsed;
  if (<u32>(end - p) > QUERY_BYTES_MAX - valuesUsed) return 0;
  let at = start;
  for (; p < end; p++) {
    let c: u32 = load<u8>(p);
    if (c == 0x2b) {
      c = 0x20;
    } else if (c == 0x25) {
      if (end - p < 3) return 0;
      const high = hexDigit(load<u8>(p, 1));
      const low = hexDigit(load<u8>(p, 2));
      c = (high << 4) | low;
      if ((high | low) > 15 || c == 0) return 0;
      p += 2;
    }
    store<u8>(at++, c);
  }
  valuesUsed += <u32>(at - start);
  return span(start, <u32>(at - start));
}

/**
 * Where the rule that was found last leads: a Location, or the decoded path of a file if its status
 * is 200 or 404. It stays until the next call. 0: it would be too long.
 */
export function targetOf(site: Site, rule: usize, query: Span): Span {
  const pieces = rule + SiteRedirectRule.target;
  const isPath = statusOf(rule) == 200 || statusOf(rule) == 404;
  const end = target + TARGET_BYTES_MAX;
  let at = target;
  for (let i: u32 = 0; i < countOf(pieces) && at != 0; i++) {
    const piece = itemOf(site.table, pieces, i, SitePiece.sizeof);
    switch (load<u32>(piece, SitePiece.kind)) {
      case SitePieceKind.LITERAL:
        at = putWithin(at, end, textAt(site, piece + SitePiece.at));
        break;
      case SitePieceKind.QUERY:
        if (query == 0) break;
        at = putWithin(at, end, text("?"));
        if (at != 0) at = putWithin(at, end, query);
        break;
      default: {
        const value = captureAt(load<u32>(piece, SitePiece.at));
        at = isPath ? putWithin(at, end, value) : putEncoded(at, end, value);
      }
    }
  }
  if (at == 0) return 0;
  let start = target;
  if (!namesHost(site, pieces)) {
    while (start + 1 < at && load<u16>(start) == 0x2f2f) start++;
  }
  return span(start, <u32>(at - start));
}

/**
 * Does the rule itself begin with `//host`? What captures make of a path must not: it is not for a
 * client to say which server others are sent to.
 */
function namesHost(site: Site, pieces: usize): bool {
  const first = textAt(site, itemOf(site.table, pieces, 0, SitePiece.sizeof) + SitePiece.at);
  return spanBytes(first) > 1 && load<u16>(spanAddress(first)) == 0x2f2f;
}

function putWithin(at: usize, end: usize, s: Span): usize {
  if (spanBytes(s) > <u32>(end - at)) return 0;
  return putBytes(at, spanAddress(s), spanBytes(s));
}

/** Encodes a text for a URL; slashes stay. */
function putEncoded(at: usize, end: usize, s: Span): usize {
  let p = spanAddress(s);
  const stop = p + spanBytes(s);
  for (; p < stop; p++) {
    const c: u32 = load<u8>(p);
    if (end - at < 3) return 0;
    if (isPlain(c)) {
      store<u8>(at++, c);
    } else {
      at = putEscape(at, c);
    }
  }
  return at;
}

/** Can the byte stand in the path and in the query of a URL, and mean itself? */
function isPlain(c: u32): bool {
  if ((c | 0x20) - 0x61 < 26 || c - 0x30 < 10) return true;
  switch (c) {
    // - . _ ~ / ! $ ' ( ) * , ; : @
    case 0x2d: case 0x2e: case 0x5f: case 0x7e: case 0x2f: case 0x21: case 0x24: case 0x27:
    case 0x28: case 0x29: case 0x2a: case 0x2c: case 0x3b: case 0x3a: case 0x40:
      return true;
    default:
      return false;
  }
}
