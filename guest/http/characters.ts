// The classes of HTTP's characters, as a table of bits: one look-up decides, however many
// characters a class has. Leaves.
import { Span, spanAddress, spanBytes, text } from "../../kernel/api";

/** Of methods and of names of fields (RFC 9110, 5.6.2). */
export const TOKEN: u32 = 1;
/** Of the value of a field: no control character but the tab (RFC 9110, 5.5). */
export const VALUE: u32 = 2;
/** Of a request target: all that is visible, but for what no URI has (HF9). */
export const TARGET: u32 = 4;
/** Of a host's name, without `%` (RFC 3986, 3.2.2). */
export const NAME: u32 = 8;

const TAB: u32 = 9;
const DELETE: u32 = 0x7f;
const classes: usize = memory.data(256);
for (let c: u32 = 0; c < 256; c++) store<u8>(classes + c, classesOf(c));

function classesOf(c: u32): u32 {
  let found: u32 = c == TAB || (c >= 0x20 && c != DELETE) ? VALUE : 0;
  // Fragments are not sent (RFC 9110, 7.1), and the others are in no URI (RFC 3986, 2).
  if (c > 0x20 && c < DELETE && !has(text("\"<>\\^`{|}#"), c)) found |= TARGET;
  if (isLetterOrDigit(c)) return found | TOKEN | NAME;
  if (has(text("!#$%&'*+-.^_`|~"), c)) found |= TOKEN;
  return has(text("-._~!$&'()*+,;="), c) ? found | NAME : found;
}

function isLetterOrDigit(c: u32): bool {
  return (c | 0x20) - 0x61 < 26 || c - 0x30 < 10;
}

function has(characters: Span, c: u32): bool {
  for (let i: u32 = 0; i < spanBytes(characters); i++) {
    if (<u32>load<u8>(spanAddress(characters) + i) == c) return true;
  }
  return false;
}

/** Is the character in one of the classes? */
export function isIn(c: u32, group: u32): bool {
  return (load<u8>(classes + c) & group) != 0;
}

/** The first address in [at, end) whose character is in none of the classes, or `end`. */
export function skip(at: usize, end: usize, group: u32): usize {
  while (at < end && isIn(load<u8>(at), group)) at++;
  return at;
}

/** The first address in [at, end) of a byte other than a space or a tab, or `end`. */
export function skipBlanks(at: usize, end: usize): usize {
  while (at < end && isBlank(load<u8>(at))) at++;
  return at;
}

/** The end of the bytes [at, end) without spaces and tabs. */
export function trimBlanks(at: usize, end: usize): usize {
  while (end > at && isBlank(load<u8>(end - 1))) end--;
  return end;
}

function isBlank(c: u32): bool {
  return c == 0x20 || c == TAB;
}
