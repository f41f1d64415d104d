// Paths of rules, and the targets that repeat parts of what they match: `*` at the end is all that
// follows (:splat), `*` and `:name` between slashes are one segment.
import { SITE_CAPTURES_MAX, SitePieceKind } from "../../abi/site.ts";

/** A part of a path or a target: bytes as they stand, or the number of a capture. */
export interface Piece {
  readonly kind: SitePieceKind;
  readonly bytes: Uint8Array;
  readonly capture: number;
}

/** A path that a rule is for. */
export interface Pattern {
  readonly pieces: readonly Piece[];
  /** Names of the captures in their order; null: one that cannot be repeated. */
  readonly captures: readonly (string | null)[];
}

const NOTHING = new Uint8Array(0);
const NAME = /^[A-Za-z_]\w*$/;
/** Characters that may stand in a URL. */
const VISIBLE = /^[!#-;=?-[\]_a-z~]+$/;

const encoder = new TextEncoder();

const literal = (bytes: Uint8Array): Piece => ({
  kind: SitePieceKind.LITERAL,
  bytes,
  capture: 0,
});
const capturing = (kind: SitePieceKind, capture: number): Piece => ({
  kind,
  bytes: NOTHING,
  capture,
});

/** The bytes of a path whose escapes are decoded. Throws Error. */
function decoded(text: string): Uint8Array {
  const out: number[] = [];
  const bytes = encoder.encode(text);
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== 0x25) {
      out.push(bytes[i] as number);
      continue;
    }
    const digits = String.fromCharCode(...bytes.subarray(i + 1, i + 3));
    const byte = /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : 0;
    if (byte === 0 || byte === 0x2f) throw new Error(`"%${digits}" stands for no character`);
    out.push(byte);
    i += 2;
  }
  return Uint8Array.from(out);
}

/** The pattern of a path, which begins with a slash. Throws Error with what is wrong. */
export function parsePattern(path: string): Pattern {
  if (/[?#]/.test(path)) throw new Error(`a path has no "?" and no "#": ${path}`);
  const pieces: Piece[] = [];
  const captures: (string | null)[] = [];
  let text = "";
  const capture = (kind: SitePieceKind, name: string | null) => {
    if (name !== null && captures.includes(name)) throw new Error(`:${name} stands there twice`);
    if (text !== "") pieces.push(literal(decoded(text)));
    text = "";
    pieces.push(capturing(kind, captures.push(name) - 1));
  };
  const segments = path.slice(1).split("/");
  for (const [i, segment] of segments.entries()) {
    text += "/";
    if (segment === "*" && i === segments.length - 1) {
      capture(SitePieceKind.REST, "splat");
    } else if (segment === "*") {
      capture(SitePieceKind.SEGMENT, null);
    } else if (segment.startsWith(":")) {
      const name = segment.slice(1);
      if (!NAME.test(name)) throw new Error(`"${segment}" is not the name of a segment`);
      capture(SitePieceKind.SEGMENT, name);
    } else if (segment.includes("*")) {
      throw new Error(`"*" stands for whole segments, not for a part of "${segment}"`);
    } else {
      text += segment;
    }
  }
  if (text !== "") pieces.push(literal(decoded(text)));
  if (captures.length > SITE_CAPTURES_MAX) {
    throw new Error(`more than ${SITE_CAPTURES_MAX} placeholders`);
  }
  return { pieces, captures };
}

/** Does the pattern stand for one path? */
export function isStatic({ captures }: Pattern): boolean {
  return captures.length === 0;
}

/** The one path of a static pattern, as a key. */
export function pathOf({ pieces }: Pattern): string {
  return pieces.map(({ bytes }) => String.fromCharCode(...bytes)).join("");
}

/** Where the path of a target begins: after scheme and authority, if it has them. */
function pathStart(target: string): number {
  const authority = /^(?:https?:)?\/\/[^/?#]*/.exec(target);
  return authority === null ? 0 : authority[0].length;
}

/** Text and captures of a target, in turn. `:name` is text where no capture has that name. */
function split(target: string, captures: readonly (string | null)[]): (string | number)[] {
  const parts: (string | number)[] = [];
  let last = 0;
  for (const found of target.matchAll(/:([A-Za-z_]\w*)/g)) {
    const capture = captures.indexOf(found[1] as string);
    if (capture < 0) continue;
    parts.push(target.slice(last, found.index), capture);
    last = found.index + found[0].length;
  }
  parts.push(target.slice(last));
  return parts;
}

/** A Location made from `target`, with the request's query if it has none. Throws Error. */
export function parseLocation(
  target: string,
  captures: readonly (string | null)[],
  keepsQuery: boolean,
): Piece[] {
  const start = pathStart(target);
  // Otherwise clients could choose the server that they, or others, are sent to.
  if (split(target.slice(0, start), captures).length > 1) {
    throw new Error("a placeholder in the name of a host");
  }
  const hash = target.indexOf("#");
  const end = hash < 0 ? target.length : hash;
  const pieces = [encodedUrl(target.slice(0, start))].map(literal);
  pieces.push(...piecesOf(target.slice(start, end), captures, encodedUrl));
  if (keepsQuery && !target.slice(0, end).includes("?")) {
    pieces.push(capturing(SitePieceKind.QUERY, 0));
  }
  pieces.push(literal(encodedUrl(target.slice(end))));
  return pieces.filter(({ kind, bytes }) => kind !== SitePieceKind.LITERAL || bytes.length > 0);
}

/** A file of the site. Throws Error. */
export function parseFile(target: string, captures: readonly (string | null)[]): Piece[] {
  const path = target.replace(/[?#].*$/, "");
  return piecesOf(path, captures, decoded);
}

function piecesOf(
  text: string,
  captures: readonly (string | null)[],
  bytesOf: (text: string) => Uint8Array,
): Piece[] {
  return split(text, captures)
    .filter((part) => part !== "")
    .map((part) =>
      typeof part === "number" ? capturing(SitePieceKind.CAPTURE, part) : literal(bytesOf(part)),
    );
}

/** Characters that a URL cannot hold are encoded; escapes stay as they are. */
function encodedUrl(text: string): Uint8Array {
  if (text === "") return NOTHING;
  const encoded = [...text]
    .map((one) => (VISIBLE.test(one) ? one : encodeURIComponent(one)))
    .join("");
  return encoder.encode(encoded);
}
