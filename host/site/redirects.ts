// `_redirects`: FROM [query=:x] TO [STATUS[!]], one rule a line.
import { SITE_CAPTURES_MAX, SITE_DYNAMIC_RULES_MAX } from "../../abi/site.ts";
import { LINE_CHARACTERS_MAX, STATIC_RULES_MAX } from "./headers.ts";
import {
  isStatic,
  type Pattern,
  type Piece,
  parseFile,
  parseLocation,
  parsePattern,
  pathOf,
} from "./pattern.ts";
import type { Warnings } from "./warnings.ts";

/** A parameter that the query must have. */
export interface Condition {
  readonly name: string;
  /** null: any value, which becomes a capture. */
  readonly value: string | null;
  readonly capture: number;
}

/** Where requests for certain paths lead. */
export interface RedirectRule {
  readonly pattern: Pattern;
  readonly conditions: readonly Condition[];
  /** A Location, or a file of the site. */
  readonly target: readonly Piece[];
  readonly status: number;
  /** Does it hold where there is a file, too? */
  readonly forced: boolean;
  readonly captures: number;
}

const STATUS_PRESET = 301;
const REDIRECTS = [301, 302, 303, 307, 308];
const FILES = [200, 404];
const CONDITIONS_MAX = 8;
const LEFT_OUT = /^(?:country|language|role|cookie|sign|signed)$/i;

/** The rules of a `_redirects` file. Lines that are not followed are noted in `warnings`. */
export function parseRedirectRules(text: string, warnings: Warnings): RedirectRule[] {
  const rules: RedirectRule[] = [];
  const seen = new Set<string>();
  let dynamic = 0;
  for (const [i, line] of text.split("\n").entries()) {
    const words = wordsOf(line);
    if (words.length === 0) continue;
    try {
      if (line.trim().length > LINE_CHARACTERS_MAX) {
        throw new Error(`a line of more than ${LINE_CHARACTERS_MAX} characters`);
      }
      const rule = parseRule(words);
      if (isDynamic(rule)) {
        if (dynamic === SITE_DYNAMIC_RULES_MAX) throw tooMany("with", dynamic);
        dynamic++;
      } else {
        const key = `${rule.forced} ${pathOf(rule.pattern)}`;
        if (seen.has(key)) throw new Error(`another rule for ${words[0]} stands above`);
        if (rules.length - dynamic === STATIC_RULES_MAX) throw tooMany("without", STATIC_RULES_MAX);
        seen.add(key);
      }
      rules.push(rule);
    } catch (error) {
      warnings.add(i + 1, (error as Error).message);
    }
  }
  return rules;
}

const tooMany = (how: string, count: number): Error =>
  new Error(`more than ${count} rules ${how} placeholders or conditions`);

/** Rules that are not found by their path alone. */
export function isDynamic({ pattern, conditions }: RedirectRule): boolean {
  return !isStatic(pattern) || conditions.length > 0;
}

/** Without a comment, which may follow a rule. */
function wordsOf(line: string): string[] {
  const words = line.split(/\s+/).filter((word) => word !== "");
  const comment = words.findIndex((word) => word.startsWith("#"));
  return comment < 0 ? words : words.slice(0, comment);
}

const isUrl = (word: string): boolean => /^https?:\/\//.test(word);

function parseRule(words: readonly string[]): RedirectRule {
  const [from = "", ...rest] = words;
  if (isUrl(from)) throw new Error(`a rule for another domain: ${from}`);
  if (!from.startsWith("/")) throw new Error(`"${from}" is not a path that begins with "/"`);
  const at = rest.findIndex((word) => word.startsWith("/") || isUrl(word));
  if (at < 0) throw new Error(`${from} has no target: no "/path" or "https://..." follows`);
  const to = rest[at] as string;
  const [status, forced] = parseStatus(rest.slice(at + 1));
  const pattern = parsePattern(from);
  const captures = [...pattern.captures];
  const conditions = rest.slice(0, at).map((word) => parseCondition(word, captures));
  if (conditions.length > CONDITIONS_MAX) throw new Error(`more than ${CONDITIONS_MAX} conditions`);
  if (captures.length > SITE_CAPTURES_MAX) {
    throw new Error(`more than ${SITE_CAPTURES_MAX} placeholders`);
  }
  const isRewrite = FILES.includes(status);
  if (isRewrite && (isUrl(to) || to.startsWith("//"))) {
    throw new Error(`${to} with ${status} is another server: torito is no proxy`);
  }
  if (!isRewrite && to === from && conditions.length === 0) {
    throw new Error(`${from} leads to itself`);
  }
  const target = isRewrite
    ? parseFile(to, captures)
    : parseLocation(to, captures, conditions.length === 0);
  return { pattern, conditions, target, status, forced, captures: captures.length };
}

/** Status and `!`; what follows them are conditions that are left out. */
function parseStatus([word, ...others]: readonly string[]): [number, boolean] {
  const found = /^(\d{3})(!?)$/.exec(word ?? `${STATUS_PRESET}`);
  const unknown = found === null ? word : others[0];
  const key = unknown?.split("=")[0] ?? "";
  if (LEFT_OUT.test(key)) throw new Error(`conditions on ${key} are left out`);
  if (unknown !== undefined) throw new Error(`"${unknown}" is not a status, as in 301 or 200!`);
  const status = Number(found?.[1]);
  if (![...REDIRECTS, ...FILES].includes(status)) {
    throw new Error(`status ${status} is not one of ${[...REDIRECTS, ...FILES].join(", ")}`);
  }
  return [status, found?.[2] === "!"];
}

/** `name=value` or `name=:capture`, which is added to `captures`. */
function parseCondition(word: string, captures: (string | null)[]): Condition {
  const [, name, value] = /^([^=]+)=(.+)$/.exec(word) ?? [];
  if (name === undefined || value === undefined) {
    throw new Error(`"${word}" is not a parameter of the query, as in id=:id`);
  }
  if (LEFT_OUT.test(name) && /^[A-Z]/.test(name)) {
    throw new Error(`conditions on ${name} are left out`);
  }
  const [, capture] = /^:([A-Za-z_]\w*)$/.exec(value) ?? [];
  if (capture === undefined) return { name, value, capture: 0 };
  if (captures.includes(capture)) throw new Error(`:${capture} stands there twice`);
  return { name, value: null, capture: captures.push(capture) - 1 };
}
