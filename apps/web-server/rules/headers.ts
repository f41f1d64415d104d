// `_headers`: which headers the site adds to the answers for a path. All rules that match apply;
// values of one name are joined. Leaves.
import { Span, spanAddress, spanBytes, text } from "torito/kernel/api";
import {
  SITE_DYNAMIC_RULES_MAX,
  SiteField,
  SiteHeaderRule,
  SiteRules,
  SiteTable,
} from "torito/abi/site";
import { putBytes, putText } from "torito/guest/http/text";
import { countOf, findStatic, itemOf, matches, NO_RULE } from "./match";
import { Site, textAt } from "./site";

/** Numbers of the rules that match, in the order of the file: one static, and dynamic ones. */
const matched: usize = memory.data((100 + 1) * 4);
if (SITE_DYNAMIC_RULES_MAX != 100) ERROR("headers: room for the rules that match");
let count: u32 = 0;

const RULE_BYTES: u32 = SiteHeaderRule.sizeof;

function add(rule: u32): void {
  store<u32>(matched + (count++ << 2), rule);
}

function ruleAt(site: Site, i: u32): usize {
  const rules = site.table + (SiteTable.headers + SiteRules.rules);
  return itemOf(site.table, rules, load<u32>(matched + (i << 2)), RULE_BYTES);
}

export function hasHeaderRules(site: Site): bool {
  return countOf(site.table + (SiteTable.headers + SiteRules.rules)) != 0;
}

/**
 * Finds the rules for a path, for putRuleHeaders(). Returns which of the server's own headers they
 * replace.
 */
export function matchHeaders(site: Site, path: usize, bytes: u32): u32 {
  const table = site.table;
  const rules = table + SiteTable.headers;
  let fixed = findStatic(table, rules, RULE_BYTES, path, bytes);
  count = 0;
  const dynamic = rules + SiteRules.dynamic;
  for (let i: u32 = 0; i < countOf(dynamic); i++) {
    const number = load<u32>(itemOf(table, dynamic, i, 4));
    if (fixed < number) {
      add(fixed);
      fixed = NO_RULE;
    }
    const rule = itemOf(table, rules + SiteRules.rules, number, RULE_BYTES);
    if (matches(table, rule, path, bytes)) add(number);
  }
  if (fixed != NO_RULE) add(fixed);
  let replaced: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    replaced |= load<u32>(ruleAt(site, i), SiteHeaderRule.replaces);
  }
  return replaced;
}

/** No rules for this answer. */
export function matchNoHeaders(): void {
  count = 0;
}

/**
 * Writes the headers of the rules that matched, but for those in the mask `dropped`, to [at, end).
 * Returns the address after them; 0: there is no room.
 */
export function putRuleHeaders(at: usize, end: usize, site: Site, dropped: u32): usize {
  for (let i: u32 = 0; i < count; i++) {
    const fields = ruleAt(site, i) + SiteHeaderRule.fields;
    for (let j: u32 = 0; j < countOf(fields); j++) {
      const field = itemOf(site.table, fields, j, SiteField.sizeof);
      if ((load<u32>(field, SiteField.header) & dropped) != 0) continue;
      const id = load<u32>(field, SiteField.id);
      if (isBefore(site, i, id)) continue;
      at = putField(at, end, site, i, field, id);
      if (at == 0) return 0;
    }
  }
  return at;
}

/** Has a rule before number `i` of those that matched the same name? */
function isBefore(site: Site, i: u32, id: u32): bool {
  for (let k: u32 = 0; k < i; k++) if (valueIn(site, k, id) != 0) return true;
  return false;
}

/** The value that a rule has for a name; 0: it has none. */
function valueIn(site: Site, i: u32, id: u32): Span {
  const fields = ruleAt(site, i) + SiteHeaderRule.fields;
  for (let j: u32 = 0; j < countOf(fields); j++) {
    const field = itemOf(site.table, fields, j, SiteField.sizeof);
    if (load<u32>(field, SiteField.id) == id) return textAt(site, field + SiteField.value);
  }
  return 0;
}

/** A header with the values of rule `i` and of all that follow it. */
function putField(at: usize, end: usize, site: Site, i: u32, field: usize, id: u32): usize {
  const name = textAt(site, field + SiteField.name);
  const value = textAt(site, field + SiteField.value);
  at = putWithin(at, end, name, text(": "));
  if (at != 0) at = putWithin(at, end, value, 0);
  for (let k = i + 1; k < count && at != 0; k++) {
    const more = valueIn(site, k, id);
    if (more == 0) continue;
    at = putWithin(at, end, text(", "), 0);
    if (at != 0) at = putWithin(at, end, more, 0);
  }
  return at == 0 ? 0 : putWithin(at, end, text("\r\n"), 0);
}

/** Two texts, if there is room for them; otherwise 0. */
function putWithin(at: usize, end: usize, a: Span, b: Span): usize {
  if (spanBytes(a) + spanBytes(b) > <u32>(end - at)) return 0;
  at = putBytes(at, spanAddress(a), spanBytes(a));
  return putText(at, b);
}
