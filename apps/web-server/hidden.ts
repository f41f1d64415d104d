// Paths that nobody is served: files that begin with a dot are hidden by habit, and many a site has
// secrets in them; rule files and the settings are the server's own. A leaf.
import { text } from "torito/kernel/api";
import { isText } from "torito/guest/http/text";

const SLASH: u32 = 0x2f;
const DOT: u32 = 0x2e;
const UNDERSCORE: u32 = 0x5f;
/** RFC 8615: what it holds is there to be found. */
const WELL_KNOWN = text(".well-known");
const SETTINGS = text(".torito");
const HEADERS = text("_headers");
const REDIRECTS = text("_redirects");

/** SI1: does a segment of the decoded path begin with a dot, or is it a file of the server's? */
export function isHidden(path: usize, bytes: u32, servesDotfiles: bool): bool {
  const end = path + bytes;
  let isFirst = true;
  for (let p = path; p < end; p++) {
    const start = p;
    while (p < end && load<u8>(p) != SLASH) p++;
    const length = <u32>(p - start);
    // Empty segments and "." are skipped by the kernel, so that the first one may follow them.
    if (length == 0 || (length == 1 && load<u8>(start) == DOT)) continue;
    if (isFirst && isReserved(start, length)) return true;
    if (load<u8>(start) == DOT && isDotHidden(start, length, isFirst, servesDotfiles)) return true;
    isFirst = false;
  }
  return false;
}

function isDotHidden(name: usize, bytes: u32, isFirst: bool, servesDotfiles: bool): bool {
  // No client's path has it, but a target with captures may (missing.ts).
  if (bytes == 2 && load<u8>(name, 1) == DOT) return true;
  return !servesDotfiles && !(isFirst && isText(name, bytes, WELL_KNOWN));
}

/** Is it the name of a rule file or of the settings, at the root? */
export function isReserved(name: usize, bytes: u32): bool {
  const first: u32 = load<u8>(name);
  if (first == DOT) return isText(name, bytes, SETTINGS);
  return first == UNDERSCORE && (isText(name, bytes, HEADERS) || isText(name, bytes, REDIRECTS));
}

/** Is it the root, however it is spelled? */
export function isRoot(path: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    const c: u32 = load<u8>(path + i);
    if (c == SLASH) continue;
    // A segment of one dot; others are names.
    if (c != DOT || i + 1 == bytes || <u32>load<u8>(path + i, 1) != SLASH) return false;
  }
  return true;
}

/** Is the name in a listing? */
export function isListed(name: usize, bytes: u32, atRoot: bool, servesDotfiles: bool): bool {
  if (load<u8>(name) == DOT) {
    const isDots = bytes == 1 || (bytes == 2 && load<u8>(name, 1) == DOT);
    if (!servesDotfiles || isDots) return false;
  }
  return !(atRoot && isReserved(name, bytes));
}
