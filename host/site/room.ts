// Do the headers that rules add to one answer fit into its head? Found when the rules are compiled,
// and not by the first client that asks for such a path.
import { SITE_HEADERS_BYTES_MAX, SitePieceKind } from "../../abi/site.ts";
import type { HeaderRule } from "./headers.ts";
import { isStatic, type Pattern } from "./pattern.ts";

/** Segments that stand for others. No path has a NUL. */
const ANY = "\0:";
const REST = "\0*";

/** Colon and space, and the end of the line. */
const AROUND_BYTES = 4;

const encoder = new TextEncoder();
const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/**
 * Throws Error if there is a path for which the rules add more than fits. Of dynamic rules that
 * apply together not every set is tried: what is missed is an answer 500, and a line of the log.
 */
export function assertRoom(rules: readonly HeaderRule[]): void {
  const all = rules.map((rule) => ({
    path: segmentsOf(rule.pattern),
    bytes: bytesOf(rule),
    isDynamic: !isStatic(rule.pattern),
  }));
  const dynamic = all.filter(({ isDynamic }) => isDynamic).sort((a, b) => b.bytes - a.bytes);
  for (const one of all) {
    let { path, bytes } = one;
    for (const other of dynamic) {
      const common = other === one ? null : commonPath(path, other.path);
      if (common === null) continue;
      path = common;
      bytes += other.bytes;
    }
    if (bytes <= SITE_HEADERS_BYTES_MAX) continue;
    const text = `/${path.join("/").replaceAll("\0:", ":any").replaceAll("\0", "")}`;
    throw new Error(
      `_headers: ${bytes} bytes of headers for ${text}, more than the ${SITE_HEADERS_BYTES_MAX} ` +
        "that an answer has room for",
    );
  }
}

function bytesOf({ fields }: HeaderRule): number {
  const bytes = fields.map(({ name, value }) => name.length + encoder.encode(value).length);
  return bytes.reduce((sum, one) => sum + one + AROUND_BYTES, 0);
}

function segmentsOf({ pieces }: Pattern): readonly string[] {
  const texts = pieces.map(({ kind, bytes }) => {
    if (kind === SitePieceKind.LITERAL) return latin1(bytes);
    return kind === SitePieceKind.REST ? REST : ANY;
  });
  return texts.join("").slice(1).split("/");
}

/** A path that both are for, perhaps with segments that stand for others; null: there is none. */
function commonPath(a: readonly string[], b: readonly string[]): readonly string[] | null {
  const common: string[] = [];
  for (let i = 0; ; i++) {
    const [x, y] = [a[i], b[i]];
    if (x === undefined || y === undefined) return x === y ? common : null;
    if (x === REST) return [...common, ...b.slice(i)];
    if (y === REST) return [...common, ...a.slice(i)];
    if (x === y || (y === ANY && x !== "")) common.push(x);
    else if (x === ANY && y !== "") common.push(y);
    else return null;
  }
}
