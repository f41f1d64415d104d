// From the options and rule files of a site to the one table that WebServer reads.
import {
  SITE_MAGIC,
  SITE_TABLE_BYTES_MAX,
  SITE_VERSION,
  SiteCondition,
  SiteField,
  SiteFlag,
  SiteHeader,
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
} from "../../abi/site.ts";
import { type HeaderRule, parseHeaderRules } from "./headers.ts";
import { isStatic, type Pattern, type Piece } from "./pattern.ts";
import { isDynamic, parseRedirectRules, type RedirectRule } from "./redirects.ts";
import { assertRoom } from "./room.ts";
import type { SiteSettings } from "./settings.ts";
import { TableWriter } from "./table-writer.ts";
import { type SiteWarning, Warnings } from "./warnings.ts";

export type { SiteWarning } from "./warnings.ts";

/** The settings of a site as WebServer reads them. */
export interface CompiledSite {
  /** The content of the file in which WebServer looks for it. */
  readonly table: Uint8Array<ArrayBuffer>;
  /** Lines of the rule files that have no effect. */
  readonly warnings: readonly SiteWarning[];
}

/** Headers that the server sends too, unless a rule does. */
const OWN_HEADERS: ReadonlyMap<string, SiteHeader> = new Map([
  ["cache-control", SiteHeader.CACHE_CONTROL],
  ["content-type", SiteHeader.CONTENT_TYPE],
  ["x-content-type-options", SiteHeader.CONTENT_TYPE_OPTIONS],
  ["referrer-policy", SiteHeader.REFERRER_POLICY],
  ["x-frame-options", SiteHeader.FRAME_OPTIONS],
  ["cross-origin-opener-policy", SiteHeader.OPENER_POLICY],
  ["access-control-allow-origin", SiteHeader.ALLOW_ORIGIN],
]);

const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** As kernel/hash.ts has it, but signed: its lower bits choose a bucket. */
function fnv1a(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, FNV_PRIME), FNV_BASIS);
}

/**
 * Compiles the options and the texts of `_headers` and `_redirects`, null if there is no such file.
 * Faulty lines are left out, with a warning. Throws Error if the table becomes too large, or the
 * headers for a path.
 */
export function compileSite(
  settings: SiteSettings,
  headersText: string | null,
  redirectsText: string | null,
): CompiledSite {
  const forHeaders = new Warnings("_headers");
  const forRedirects = new Warnings("_redirects");
  const headers = parseHeaderRules(headersText ?? "", forHeaders);
  assertRoom(headers);
  const redirects = parseRedirectRules(redirectsText ?? "", forRedirects);
  const table = new TableWriter();
  table.reserve(SiteTable.sizeof);
  table.set(SiteTable.magic, SITE_MAGIC);
  table.set(SiteTable.version, SITE_VERSION);
  writeSettings(table, settings);
  writeHeaderRules(table, headers);
  writeRedirectRules(table, redirects);
  if (table.length > SITE_TABLE_BYTES_MAX) {
    throw new Error(`the rules of the site take more than ${SITE_TABLE_BYTES_MAX} bytes`);
  }
  table.set(SiteTable.bytes, table.length);
  return { table: table.finish(), warnings: [...forHeaders.all, ...forRedirects.all] };
}

function writeSettings(table: TableWriter, settings: SiteSettings): void {
  const isOpen = settings.cors.includes("*");
  const flags = [
    [SiteFlag.SERVES_DOTFILES, settings.dotfiles === "serve"],
    [SiteFlag.ETAG_OF_CONTENT, settings.etag === "content"],
    [SiteFlag.PRECOMPRESSED, settings.precompressed],
    [SiteFlag.IMMUTABLE, settings.immutable === "hashed"],
    [SiteFlag.CLEAN_URLS, settings["clean-urls"]],
    [SiteFlag.LISTING, settings.listing],
    [SiteFlag.SECURITY_HEADERS, settings["security-headers"]],
    [SiteFlag.ANY_ORIGIN, isOpen],
    [SiteFlag.STRICT, settings.strict],
  ] as const;
  table.set(
    SiteTable.flags,
    flags.reduce((word, [bit, isSet]) => word | (isSet ? 1 << bit : 0), 0),
  );
  if (settings.fallback !== null) table.setText(SiteTable.fallback, settings.fallback);
  const origins = isOpen ? [] : settings.cors;
  table.setList(SiteTable.origins, origins, SiteText.sizeof, (at, one) => table.setText(at, one));
  table.setList(SiteTable.types, Object.entries(settings.types), SiteType.sizeof, (at, one) => {
    table.setText(at + SiteType.extension, one[0]);
    table.setText(at + SiteType.type, one[1]);
  });
}

function writeHeaderRules(table: TableWriter, rules: readonly HeaderRule[]): void {
  const ids = new Map<string, number>();
  const write = (at: number, { pattern, fields }: HeaderRule) => {
    writePieces(table, at + SiteRule.path, pattern.pieces);
    let replaces = 0;
    table.setList(at + SiteHeaderRule.fields, fields, SiteField.sizeof, (place, one) => {
      const key = one.name.toLowerCase();
      if (!ids.has(key)) ids.set(key, ids.size);
      const header = OWN_HEADERS.get(key) ?? 0;
      replaces |= header;
      table.setText(place + SiteField.name, one.name);
      table.setText(place + SiteField.value, one.value);
      table.set(place + SiteField.id, ids.get(key) as number);
      table.set(place + SiteField.header, header);
    });
    table.set(at + SiteHeaderRule.replaces, replaces);
  };
  const isFound = ({ pattern }: HeaderRule) => isStatic(pattern);
  writeRules(table, SiteTable.headers, rules, SiteHeaderRule.sizeof, isFound, write);
}

function writeRedirectRules(table: TableWriter, rules: readonly RedirectRule[]): void {
  const write = (at: number, rule: RedirectRule) => {
    writePieces(table, at + SiteRule.path, rule.pattern.pieces);
    writePieces(table, at + SiteRedirectRule.target, rule.target);
    const place = at + SiteRedirectRule.conditions;
    table.setList(place, rule.conditions, SiteCondition.sizeof, (to, { name, value, capture }) => {
      table.setText(to + SiteCondition.name, name);
      if (value !== null) table.setText(to + SiteCondition.value, value);
      table.set(to + SiteCondition.capture, capture);
    });
    table.set(at + SiteRedirectRule.status, rule.status);
    table.set(at + SiteRedirectRule.forced, rule.forced ? 1 : 0);
    table.set(at + SiteRedirectRule.captures, rule.captures);
  };
  const isFound = (rule: RedirectRule) => !isDynamic(rule);
  writeRules(table, SiteTable.redirects, rules, SiteRedirectRule.sizeof, isFound, write);
}

function writePieces(table: TableWriter, place: number, pieces: readonly Piece[]): void {
  table.setList(place, pieces, SitePiece.sizeof, (at, { kind, bytes, capture }) => {
    table.set(at + SitePiece.kind, kind);
    if (kind === SitePieceKind.LITERAL) table.setText(at + SitePiece.at, bytes);
    else table.set(at + SitePiece.at, capture);
  });
}

/** Rules, and the index of those that `isFound` by their one path. */
function writeRules<Rule extends { readonly pattern: Pattern }>(
  table: TableWriter,
  place: number,
  rules: readonly Rule[],
  size: number,
  isFound: (rule: Rule) => boolean,
  write: (at: number, rule: Rule) => void,
): void {
  table.setList(place + SiteRules.rules, rules, size, write);
  const numbers = rules.map((rule, number) => ({ rule, number }));
  const fixed = numbers.filter(({ rule }) => isFound(rule));
  const dynamic = numbers.filter(({ rule }) => !isFound(rule));
  table.setList(place + SiteRules.dynamic, dynamic, 4, (at, one) => table.set(at, one.number));
  const firsts = new Array<number>(bucketsFor(fixed.length)).fill(0);
  const first = rulesAt(table, place);
  // From the last one on, so that the first of a bucket is the first of the file.
  for (const { rule, number } of fixed.reverse()) {
    const bucket = fnv1a(bytesOf(rule.pattern)) & (firsts.length - 1);
    table.set(first + number * size + SiteRule.next, firsts[bucket] as number);
    firsts[bucket] = number + 1;
  }
  table.setList(place + SiteRules.buckets, firsts, 4, (at, one) => table.set(at, one));
}

/** Where the list of rules that was just written begins. */
function rulesAt(table: TableWriter, place: number): number {
  return table.get(place + SiteRules.rules + SiteList.at);
}

function bytesOf({ pieces }: Pattern): Uint8Array {
  return pieces[0]?.bytes ?? new Uint8Array(0);
}

/** As many as a power of two, and at least as many as rules; none for none. */
function bucketsFor(rules: number): number {
  return rules === 0 ? 0 : 2 ** Math.ceil(Math.log2(rules));
}
