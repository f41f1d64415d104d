// `_headers`: a path at the start of a line, and below it `Name: value` lines.
import { SITE_DYNAMIC_RULES_MAX } from "../../abi/site.ts";
import { isStatic, type Pattern, parsePattern, pathOf } from "./pattern.ts";
import type { Warnings } from "./warnings.ts";

/** Headers of the answers to requests for certain paths. */
export interface HeaderRule {
  readonly pattern: Pattern;
  /** In the order of their first lines; values of one name are joined by commas. */
  readonly fields: { readonly name: string; value: string }[];
}

export const STATIC_RULES_MAX = 2000;
export const LINE_CHARACTERS_MAX = 1000;
/** Different names in one file. */
const NAMES_MAX = 256;
const FIELDS_MAX = 32; // of one rule

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const CONTROL = /(?!\t)\p{Cc}/u;
/** How the body is framed, and how this connection is used, is between server and client. */
const FRAMING = /^(?:connection|content-(?:encoding|length|range)|date|trailer|transfer-encoding)$/;
const HOP_BY_HOP = /^(?:keep-alive|proxy-connection|te|upgrade)$/;
/** The server computes these for each answer. */
const COMPUTED = /^(?:accept-ranges|allow|etag|last-modified|location|server)$/;
/** A password, for the server of another product, which would be shown to everybody. */
const SECRET = /^basic-auth$/;

/** The rules of a `_headers` file. Lines that are not followed are noted in `warnings`. */
export function parseHeaderRules(text: string, warnings: Warnings): HeaderRule[] {
  return new HeaderReader(warnings).read(text);
}

class HeaderReader {
  readonly #warnings: Warnings;
  readonly #rules: HeaderRule[] = [];
  readonly #static = new Map<string, HeaderRule>();
  readonly #names = new Set<string>();
  /** undefined: no path yet; null: that of a rule which is left out. */
  #rule: HeaderRule | null | undefined;

  constructor(warnings: Warnings) {
    this.#warnings = warnings;
  }

  read(text: string): HeaderRule[] {
    for (const [i, line] of text.split("\n").entries()) {
      try {
        this.#readLine(line);
      } catch (error) {
        this.#warnings.add(i + 1, (error as Error).message);
      }
    }
    return this.#rules.filter(({ fields }) => fields.length > 0);
  }

  #readLine(whole: string): void {
    const line = whole.trim();
    if (line === "" || line.startsWith("#")) return;
    const isPath = line.startsWith("/") || /^[a-z][a-z0-9+.-]*:\/\//i.test(line);
    if (isPath) this.#rule = null; // if the path is faulty, so are the lines below it
    if (line.length > LINE_CHARACTERS_MAX) {
      throw new Error(`a line of more than ${LINE_CHARACTERS_MAX} characters`);
    }
    if (isPath) this.#rule = this.#ruleOf(line);
    else this.#addField(line);
  }

  #ruleOf(path: string): HeaderRule {
    if (!path.startsWith("/")) throw new Error(`a rule for another domain: ${path}`);
    const pattern = parsePattern(path);
    const fixed = isStatic(pattern);
    const known = fixed ? this.#static.get(pathOf(pattern)) : undefined;
    if (known !== undefined) return known;
    const most = fixed ? STATIC_RULES_MAX : SITE_DYNAMIC_RULES_MAX;
    const count = fixed ? this.#static.size : this.#rules.length - this.#static.size;
    if (count === most) {
      throw new Error(`more than ${most} paths ${fixed ? "without" : "with"} placeholders`);
    }
    const rule = { pattern, fields: [] };
    this.#rules.push(rule);
    if (fixed) this.#static.set(pathOf(pattern), rule);
    return rule;
  }

  #addField(line: string): void {
    const colon = line.indexOf(":");
    if (colon < 0) {
      // Most likely a path without its slash, whose headers are not those of the path above.
      this.#rule = null;
      throw new Error(
        `neither a path nor "Name: value": ${line}, and what is below it is left out`,
      );
    }
    const name = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (this.#rule === undefined) throw new Error(`no path stands above "${name}"`);
    if (this.#rule === null) return; // its path has a warning
    checkField(name, value);
    this.#names.add(name.toLowerCase());
    if (this.#names.size > NAMES_MAX) throw new Error(`more than ${NAMES_MAX} different headers`);
    const { fields } = this.#rule;
    const known = fields.find((one) => one.name.toLowerCase() === name.toLowerCase());
    if (known !== undefined) known.value += `, ${value}`;
    else if (fields.length === FIELDS_MAX) throw new Error(`more than ${FIELDS_MAX} headers`);
    else fields.push({ name, value });
  }
}

function checkField(name: string, value: string): void {
  if (!TOKEN.test(name)) throw new Error(`"${name}" is not the name of a header`);
  if (value === "") throw new Error(`${name} has no value`);
  if (CONTROL.test(value)) throw new Error(`a control character in the value of ${name}`);
  const key = name.toLowerCase();
  if (FRAMING.test(key) || HOP_BY_HOP.test(key)) {
    throw new Error(`${name} cannot be set: it is between the server and its client`);
  }
  if (COMPUTED.test(key)) throw new Error(`${name} cannot be set: the server computes it`);
  if (SECRET.test(key)) throw new Error(`${name} would be sent to everybody: it is left out`);
}
