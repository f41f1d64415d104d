// Names as parts of a URL and as text of HTML. Leaves.
import { Span, spanAddress, spanBytes, text } from "torito/kernel/api";
import { putText } from "torito/guest/http/text";

/** RFC 3986, 2.3: all others are encoded, so that no name is taken for a scheme or a query. */
function isUnreserved(c: u32): bool {
  if ((c | 0x20) - 0x61 < 26 || c - 0x30 < 10) return true;
  return c == 0x2d || c == 0x2e || c == 0x5f || c == 0x7e;
}

/** The length of a name as one segment of a URL. */
export function urlBytes(name: Span): u32 {
  const start = spanAddress(name);
  let bytes: u32 = 0;
  for (let p = start; p < start + spanBytes(name); p++) bytes += isUnreserved(load<u8>(p)) ? 1 : 3;
  return bytes;
}

/** Writes a name as one segment of a URL. */
export function putUrl(at: usize, name: Span): usize {
  const start = spanAddress(name);
  for (let p = start; p < start + spanBytes(name); p++) {
    const c: u32 = load<u8>(p);
    if (isUnreserved(c)) store<u8>(at++, c);
    else at = putEscape(at, c);
  }
  return at;
}

/** Writes a byte as `%` and two digits. */
export function putEscape(at: usize, c: u32): usize {
  store<u8>(at, 0x25);
  store<u8>(at, digit(c >> 4), 1);
  store<u8>(at, digit(c & 15), 2);
  return at + 3;
}

function digit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x37 + value;
}

/** The entity for a character in text and attributes of HTML; 0: it stands for itself. */
function entityOf(c: u32): Span {
  switch (c) {
    case 0x26: return text("&amp;");
    case 0x3c: return text("&lt;");
    case 0x3e: return text("&gt;");
    case 0x22: return text("&quot;");
    case 0x27: return text("&#39;");
    default: return 0;
  }
}

/** The length of a name as text of HTML. */
export function htmlBytes(name: Span): u32 {
  const start = spanAddress(name);
  let bytes: u32 = 0;
  for (let p = start; p < start + spanBytes(name); p++) {
    const entity = entityOf(load<u8>(p));
    bytes += entity == 0 ? 1 : spanBytes(entity);
  }
  return bytes;
}

/** Writes a name as text of HTML. */
export function putHtml(at: usize, name: Span): usize {
  const start = spanAddress(name);
  for (let p = start; p < start + spanBytes(name); p++) {
    const c: u32 = load<u8>(p);
    const entity = entityOf(c);
    if (entity == 0) store<u8>(at++, c);
    else at = putText(at, entity);
  }
  return at;
}
