// JSON text (RFC 8259) checked, and turned into a tape: the values in the order of the text, each
// with the place of the next one after it and after all that it contains. A leaf without recursion.
import { hexDigit } from "../http/text";
import { sequenceBytes } from "../utf8";
import { parseDecimal } from "./decimal";

/** Kinds of values of a JSON document. */
export const enum Kind {
  Missing, // of Json.get() and at(): there is no such value
  Null,
  Bool,
  Number,
  String,
  Array,
  Object,
}

/** One value. A member of an object is two: its name, a String, and its value. */
@unmanaged
export class Item {
  kind: u8; // Kind
  escaped: bool; // a string with escapes
  next: u32; // index of the item after this one
  start: u32; // of the text: a number, a string without quotes; a Bool is 1 or 0
  length: u32; // bytes of a number or string; elements or members of the others
}

/** Arrays and objects inside each other. */
export const DEPTH_MAX: u32 = 64;
/** Members of one object, which are looked up one after another. */
export const MEMBERS_MAX: u32 = 1000;

let depth: u32 = 0;
let count: u32 = 0;
let tape: usize = 0; // 0: only count and check
let start: usize = 0;
let end: usize = 0;
let at: usize = 0;
let failure: string = "";

/** Why the last text was refused. */
export function tapeFailure(): string {
  return failure;
}

/** The offset at which it was. */
export function tapeOffset(): i32 {
  return <i32>(at - start);
}

/**
 * Checks the text, and fills the tape at `into` if it is not 0. Returns the number of items, or -1:
 * tapeFailure() and tapeOffset() say why and where.
 */
export function scan(text: usize, bytes: u32, into: usize): i32 {
  start = text;
  end = text + bytes;
  at = text;
  tape = into;
  depth = 0;
  count = 0;
  do {
    skipSpace();
    if (!nextValue()) return -1;
    // After a value: a comma, or the ends of the values that contain it.
    while (depth != 0) {
      skipSpace();
      const c = at < end ? <u32>load<u8>(at) : 0;
      const isObject = isOpenObject();
      if (c == 0x2c) {
        at++;
        skipSpace();
        if (isObject ? !member() : !element()) return -1;
        break;
      }
      if (c != <u32>(isObject ? 0x7d : 0x5d)) {
        fail(isObject ? "',' or '}' expected" : "',' or ']' expected");
        return -1;
      }
      at++;
      close();
    }
  } while (depth != 0);
  skipSpace();
  if (at == end) return count;
  fail("end of text expected");
  return -1;
}

function fail(reason: string): bool {
  failure = reason;
  return false;
}

function skipSpace(): void {
  while (at < end) {
    const c: u32 = load<u8>(at);
    if (c != 0x20 && c != 0x0a && c != 0x0d && c != 0x09) return;
    at++;
  }
}

function add(kind: Kind, from: u32, length: u32): void {
  const index = count++;
  if (tape == 0) return;
  const item = changetype<Item>(tape + index * offsetof<Item>());
  item.kind = <u8>kind;
  item.escaped = false;
  item.next = count;
  item.start = from;
  item.length = length;
}

/**
 * A value: all of it, or, of an array or object that is not empty, what stands before the first
 * value inside, after which this is called again.
 */
function nextValue(): bool {
  while (true) {
    if (at == end) return fail("value expected");
    const c: u32 = load<u8>(at);
    if (c == 0x22) return stringValue();
    if (c == 0x2d || c - 0x30 < 10) return numberValue();
    if (c == 0x74) return wordValue(Kind.Bool, 1, 0x65757274, 4);
    if (c == 0x6e) return wordValue(Kind.Null, 0, 0x6c6c756e, 4);
    if (c == 0x66) return wordValue(Kind.Bool, 0, 0x736c6166, 5);
    if (c != 0x7b && c != 0x5b) return fail("value expected");
    if (depth == DEPTH_MAX) return fail("more than 64 levels");
    at++;
    enter(c == 0x7b ? Kind.Object : Kind.Array);
    skipSpace();
    if (at < end && <u32>load<u8>(at) == c + 2) {
      at++;
      close();
      return true;
    }
    if (c == 0x7b ? !member() : !element()) return false;
  }
}

/** `true`, `false` or `null`, by their first four bytes. */
function wordValue(kind: Kind, isTrue: u32, first: u32, bytes: u32): bool {
  if (at + bytes > end || load<u32>(at) != first) return fail("value expected");
  if (bytes == 5 && load<u8>(at, 4) != 0x65) return fail("value expected");
  at += bytes;
  add(kind, isTrue, 0);
  return true;
}

// For each open array or object: its index, with the top bit for objects, and how many elements or
// members it has so far.
const OBJECT: u32 = 1 << 31;
const open: usize = memory.data(64 * 4);
const counts: usize = memory.data(64 * 4);

function enter(kind: Kind): void {
  store<u32>(open + (depth << 2), count | (kind == Kind.Object ? OBJECT : 0));
  store<u32>(counts + (depth << 2), 0);
  add(kind, 0, 0);
  depth++;
}

function isOpenObject(): bool {
  return (load<u32>(open + ((depth - 1) << 2)) & OBJECT) != 0;
}

function close(): void {
  depth--;
  if (tape == 0) return;
  const item = changetype<Item>(
    tape + (load<u32>(open + (depth << 2)) & ~OBJECT) * offsetof<Item>(),
  );
  item.next = count;
  item.length = load<u32>(counts + (depth << 2));
}

function element(): bool {
  const place = counts + ((depth - 1) << 2);
  store<u32>(place, load<u32>(place) + 1);
  return true;
}

/** The name of a member, the colon, and the space before its value. */
function member(): bool {
  const place = counts + ((depth - 1) << 2);
  const members = load<u32>(place) + 1;
  store<u32>(place, members);
  if (members > MEMBERS_MAX) return fail("more than 1000 names in an object");
  if (at == end || load<u8>(at) != 0x22) return fail("name expected");
  if (!stringValue()) return false;
  skipSpace();
  if (at == end || load<u8>(at) != 0x3a) return fail("':' expected");
  at++;
  skipSpace();
  return true;
}

function stringValue(): bool {
  const first = ++at;
  let escaped = false;
  while (at < end) {
    const c: u32 = load<u8>(at);
    if (c == 0x22) {
      add(Kind.String, <u32>(first - start), <u32>(at - first));
      if (tape != 0) changetype<Item>(tape + (count - 1) * offsetof<Item>()).escaped = escaped;
      at++;
      return true;
    }
    if (c < 0x20) return fail("control character in a string");
    if (c < 0x80) {
      if (c == 0x5c) {
        escaped = true;
        if (!escape()) return fail("no such escape");
      } else {
        at++;
      }
      continue;
    }
    const bytes = sequenceBytes(at, end);
    if (bytes == 0) return fail("not UTF-8");
    at += bytes;
  }
  return fail("'\"' expected");
}

function escape(): bool {
  if (at + 1 == end) return false;
  const c: u32 = load<u8>(at, 1);
  if (c != 0x75) {
    at += 2;
    // " \ / b f n r t
    return c == 0x22 || c == 0x5c || c == 0x2f || c == 0x62 || c == 0x66 || c == 0x6e ||
      c == 0x72 || c == 0x74;
  }
  if (at + 6 > end) return false;
  for (let i: usize = 2; i < 6; i++) if (hexDigit(load<u8>(at + i)) > 15) return false;
  at += 6;
  return true;
}

/** Skips digits; returns how many. */
function skipDigits(): u32 {
  const first = at;
  while (at < end && <u32>load<u8>(at) - 0x30 < 10) at++;
  return <u32>(at - first);
}

function numberValue(): bool {
  const first = at;
  if (load<u8>(at) == 0x2d) at++;
  const leading = at < end ? <u32>load<u8>(at) : 0;
  let large = skipDigits();
  if (large == 0) return fail("digit expected");
  if (leading == 0x30 && large > 1) return fail("number with a leading zero");
  if (at < end && load<u8>(at) == 0x2e) {
    at++;
    if (skipDigits() == 0) return fail("digit expected");
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    if (skipDigits() == 0) return fail("digit expected");
    large = u32.MAX_VALUE;
  }
  const bytes = <u32>(at - first);
  // Only an exponent or 309 digits can make a number too large for a double.
  if (tape == 0 && large > 308 && isInfinite(parseDecimal(first, bytes))) {
    at = first;
    return fail("number too large");
  }
  add(Kind.Number, <u32>(first - start), bytes);
  return true;
}

function isInfinite(x: f64): bool {
  return abs(x) == Infinity;
}
