// Checks a table of settings before anything is read from it: the host is not trusted to have
// counted well. Every place and length lies in the table, every number is in range, chains end, and
// no header breaks its line. Leaves.
import {
  SITE_CAPTURES_MAX,
  SITE_DYNAMIC_RULES_MAX,
  SITE_MAGIC,
  SITE_VERSION,
  SiteCondition,
  SiteField,
  SiteHeaderRule,
  SiteList,
  SitePiece,
  SitePieceKind,
  SiteRedirectRule,
  SiteRule,
  SiteRules,
  SiteTable,
  SiteText,
  SiteType,
} from "torito/abi/site";
import { skip, TOKEN } from "torito/guest/http/characters";

let table: usize = 0;
let tableBytes: u32 = 0;

/** Is this a table that can be read without further checks? */
export function isTable(address: usize, bytes: u32): bool {
  if (bytes < <u32>SiteTable.sizeof) return false;
  table = address;
  tableBytes = bytes;
  return (
    load<u32>(table, SiteTable.magic) == SITE_MAGIC &&
    load<u32>(table, SiteTable.version) == SITE_VERSION &&
    load<u32>(table, SiteTable.bytes) == bytes &&
    isLine(table + SiteTable.fallback) &&
    areOrigins() &&
    areTypes() &&
    areRules(table + SiteTable.headers, <u32>SiteHeaderRule.sizeof, false) &&
    areRules(table + SiteTable.redirects, <u32>SiteRedirectRule.sizeof, true)
  );
}

/** Does the SiteText at `at` lie in the table? */
function isInside(at: usize): bool {
  const end = <u64>load<u32>(at, SiteText.at) + load<u32>(at, SiteText.bytes);
  return end <= tableBytes;
}

/** Is it text of one line? */
function isLine(at: usize): bool {
  if (!isInside(at)) return false;
  const start = table + load<u32>(at, SiteText.at);
  const end = start + load<u32>(at, SiteText.bytes);
  for (let p = start; p < end; p++) {
    const byte: u32 = load<u8>(p);
    if (byte == 0 || byte == 10 || byte == 13) return false;
  }
  return true;
}

/** Does the SiteList at `at`, of records of `size` bytes, lie in the table? */
function isList(at: usize, size: u32): bool {
  const start = load<u32>(at, SiteList.at);
  const end = start + <u64>load<u32>(at, SiteList.count) * size;
  return (start & 3) == 0 && end <= tableBytes;
}

function firstOf(list: usize): usize {
  return table + load<u32>(list, SiteList.at);
}

function countOf(list: usize): u32 {
  return load<u32>(list, SiteList.count);
}

function areOrigins(): bool {
  const list = table + SiteTable.origins;
  if (!isList(list, <u32>SiteText.sizeof)) return false;
  for (let i: u32 = 0; i < countOf(list); i++) {
    if (!isLine(firstOf(list) + i * SiteText.sizeof)) return false;
  }
  return true;
}

function areTypes(): bool {
  const list = table + SiteTable.types;
  if (!isList(list, <u32>SiteType.sizeof)) return false;
  for (let i: u32 = 0; i < countOf(list); i++) {
    const one = firstOf(list) + i * SiteType.sizeof;
    if (!isLine(one + SiteType.extension) || !isLine(one + SiteType.type)) return false;
    if (load<u32>(one, SiteType.type + SiteText.bytes) > TYPE_BYTES_MAX) return false;
  }
  return true;
}

/** A longer content type would not fit into a head. */
const TYPE_BYTES_MAX: u32 = 127;

function areRules(rules: usize, size: u32, redirects: bool): bool {
  const list = rules + SiteRules.rules;
  if (!isList(list, size) || !isIndex(rules)) return false;
  const count = countOf(list);
  for (let i: u32 = 0; i < count; i++) {
    const rule = firstOf(list) + i * size;
    const next = load<u32>(rule, SiteRule.next);
    // The next one comes later, so that chains end.
    if (next > count || (next != 0 && next <= i + 1)) return false;
    if (!isPath(rule + SiteRule.path)) return false;
    if (!(redirects ? isRedirect(rule) : areFields(rule + SiteHeaderRule.fields))) return false;
  }
  return true;
}

/** Buckets and dynamic rules. */
function isIndex(rules: usize): bool {
  const count = countOf(rules + SiteRules.rules);
  const buckets = rules + SiteRules.buckets;
  const dynamic = rules + SiteRules.dynamic;
  if (!isList(buckets, 4) || !isList(dynamic, 4)) return false;
  if ((countOf(buckets) & (countOf(buckets) - 1)) != 0) return false;
  for (let i: u32 = 0; i < countOf(buckets); i++) {
    if (load<u32>(firstOf(buckets) + (i << 2)) > count) return false;
  }
  if (countOf(dynamic) > <u32>SITE_DYNAMIC_RULES_MAX) return false;
  let after: u32 = 0;
  for (let i: u32 = 0; i < countOf(dynamic); i++) {
    const number = load<u32>(firstOf(dynamic) + (i << 2));
    if (number < after || number >= count) return false;
    after = number + 1;
  }
  return true;
}

let captures: u32 = 0;

/** Is it a list of pieces of a path, with captures in their order? Counts them. */
function isPath(list: usize): bool {
  if (!isList(list, <u32>SitePiece.sizeof)) return false;
  captures = 0;
  for (let i: u32 = 0; i < countOf(list); i++) {
    const piece = firstOf(list) + i * SitePiece.sizeof;
    switch (load<u32>(piece, SitePiece.kind)) {
      case SitePieceKind.LITERAL:
        if (!isLiteral(piece)) return false;
        break;
      case SitePieceKind.SEGMENT:
      case SitePieceKind.REST:
        if (load<u32>(piece, SitePiece.at) != captures++) return false;
        break;
      default:
        return false;
    }
  }
  return captures <= <u32>SITE_CAPTURES_MAX;
}

function isLiteral(piece: usize): bool {
  const end = <u64>load<u32>(piece, SitePiece.at) + load<u32>(piece, SitePiece.bytes);
  return end <= tableBytes;
}

function areFields(list: usize): bool {
  if (!isList(list, <u32>SiteField.sizeof)) return false;
  for (let i: u32 = 0; i < countOf(list); i++) {
    const field = firstOf(list) + i * SiteField.sizeof;
    if (!isName(field + SiteField.name) || !isLine(field + SiteField.value)) return false;
  }
  return true;
}

function isName(at: usize): bool {
  const bytes = load<u32>(at, SiteText.bytes);
  if (!isInside(at) || bytes == 0) return false;
  const start = table + load<u32>(at, SiteText.at);
  return skip(start, start + bytes, TOKEN) == start + bytes;
}

function isRedirect(rule: usize): bool {
  const conditions = rule + SiteRedirectRule.conditions;
  if (!isList(conditions, <u32>SiteCondition.sizeof)) return false;
  for (let i: u32 = 0; i < countOf(conditions); i++) {
    const one = firstOf(conditions) + i * SiteCondition.sizeof;
    if (!isInside(one + SiteCondition.name) || !isInside(one + SiteCondition.value)) return false;
    const any = load<u32>(one, SiteCondition.value + SiteText.at) == 0;
    if (any && load<u32>(one, SiteCondition.capture) != captures++) return false;
  }
  if (captures > <u32>SITE_CAPTURES_MAX) return false;
  return isStatus(load<u32>(rule, SiteRedirectRule.status)) && isTarget(rule);
}

function isStatus(status: u32): bool {
  switch (status) {
    case 200: case 301: case 302: case 303: case 307: case 308: case 404:
      return true;
    default:
      return false;
  }
}

function isTarget(rule: usize): bool {
  const list = rule + SiteRedirectRule.target;
  if (!isList(list, <u32>SitePiece.sizeof) || countOf(list) == 0) return false;
  // Whatever a client adds, the rule says how the target begins.
  if (load<u32>(firstOf(list), SitePiece.kind) != <u32>SitePieceKind.LITERAL) return false;
  for (let i: u32 = 0; i < countOf(list); i++) {
    const piece = firstOf(list) + i * SitePiece.sizeof;
    switch (load<u32>(piece, SitePiece.kind)) {
      case SitePieceKind.LITERAL:
        if (!isLine(piece + SitePiece.at)) return false;
        break;
      case SitePieceKind.CAPTURE:
        if (load<u32>(piece, SitePiece.at) >= captures) return false;
        break;
      case SitePieceKind.QUERY:
        break;
      default:
        return false;
    }
  }
  return true;
}
