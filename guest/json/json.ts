// A JSON document to read: Json.parse() checks all of it, and the values are views of its bytes.
import { Bytes } from "../bytes";
import { hexDigit } from "../http/text";
import { codePoint, putUtf16, sequenceBytes } from "../utf8";
import { parseDecimal } from "./decimal";
import { Item, Kind, scan, tapeFailure, tapeOffset } from "./tape";

/** The text, and the tape of its values. */
@final
class Document {
  text: usize = 0;
  tape: usize = 0;
  error: string = "";
  errorAt: i32 = -1;
}

/**
 * A value of a document. What has another kind, or is not there, gives the fallback of a method
 * and never throws: `json.get("user").get("name").string("nobody")`. Values are valid as long as
 * the bytes and the scope in which they were parsed.
 */
@final
export class Json {
  private seen: u32 = 0; // index of the element that at() returned last; 0: none
  private seenAt: i32 = 0; // its place in the array

  private constructor(
    private document: Document,
    private index: u32,
    readonly kind: Kind,
  ) {}

  /**
   * Reads a document of at most 64 levels, with at most 1000 names in an object. If it is not JSON
   * in UTF-8, the result is Missing, and has an `error`.
   */
  static parse(text: Bytes): Json {
    const document = new Document();
    const count = scan(text.address, text.length, 0);
    if (count < 0) {
      document.error = tapeFailure();
      document.errorAt = tapeOffset();
      return new Json(document, 0, Kind.Missing);
    }
    document.text = text.address;
    document.tape = __new(<usize>count * offsetof<Item>(), idof<ArrayBuffer>());
    scan(text.address, text.length, document.tape);
    return Json.of(document, 0);
  }

  private static of(document: Document, index: u32): Json {
    return new Json(document, index, <Kind>itemOf(document, index).kind);
  }

  /** Why the text was refused, or "". */
  get error(): string {
    return this.document.error;
  }

  /** The byte at which it is wrong, or -1. */
  get errorAt(): i32 {
    return this.document.errorAt;
  }

  /** Is there no such value, or was the text refused? */
  get isMissing(): bool {
    return this.kind == Kind.Missing;
  }

  /** Is it `null`? */
  get isNull(): bool {
    return this.kind == Kind.Null;
  }

  /** A number without point and exponent that an i64 holds. */
  get isInteger(): bool {
    return this.kind == Kind.Number && isInteger(this.start, this.item.length);
  }

  /** Elements of an array, members of an object; 0 for the others. */
  get length(): i32 {
    if (this.kind != Kind.Array && this.kind != Kind.Object) return 0;
    return <i32>this.item.length;
  }

  /** The value of a Bool. */
  bool(fallback: bool = false): bool {
    return this.kind == Kind.Bool ? this.item.start != 0 : fallback;
  }

  /** The nearest double. */
  number(fallback: f64 = 0): f64 {
    return this.kind == Kind.Number ? parseDecimal(this.start, this.item.length) : fallback;
  }

  /** All digits of an integer; any other number gives the fallback. */
  integer(fallback: i64 = 0): i64 {
    return this.isInteger ? parseInteger(this.start, this.item.length) : fallback;
  }

  /** An escaped surrogate without its other half stays what it is. */
  string(fallback: string = ""): string {
    if (this.kind != Kind.String) return fallback;
    return decode(this.start, this.item.length);
  }

  /** The element at `i` of an array. Going through them in order takes constant time each. */
  at(i: i32): Json {
    if (this.kind != Kind.Array || <u32>i >= this.item.length) return this.missing();
    if (this.seen == 0 || i < this.seenAt) {
      this.seen = this.index + 1;
      this.seenAt = 0;
    }
    for (; this.seenAt < i; this.seenAt++) this.seen = itemOf(this.document, this.seen).next;
    return Json.of(this.document, this.seen);
  }

  /** The member called `name`; of several the last. */
  get(name: string): Json {
    const found = this.find(name);
    return found == 0 ? this.missing() : Json.of(this.document, found);
  }

  /** Has an object a member of this name? */
  has(name: string): bool {
    return this.find(name) != 0;
  }

  /** The names of an object's members, each once. */
  keys(): string[] {
    const names: string[] = [];
    if (this.kind != Kind.Object) return names;
    for (let i = this.index + 1; i < this.item.next; i = itemOf(this.document, i + 1).next) {
      const name = decode(this.document.text + this.itemAt(i).start, this.itemAt(i).length);
      if (!names.includes(name)) names.push(name);
    }
    return names;
  }

  /** The index of the value of the last member called `name`; 0: there is none. */
  private find(name: string): u32 {
    let found: u32 = 0;
    if (this.kind != Kind.Object) return 0;
    for (let i = this.index + 1; i < this.item.next; i = itemOf(this.document, i + 1).next) {
      const item = this.itemAt(i);
      if (isName(this.document.text + item.start, item, name)) found = i + 1;
    }
    return found;
  }

  private missing(): Json {
    return new Json(this.document, 0, Kind.Missing);
  }

  private get item(): Item {
    return itemOf(this.document, this.index);
  }

  private itemAt(i: u32): Item {
    return itemOf(this.document, i);
  }

  private get start(): usize {
    return this.document.text + this.item.start;
  }
}

function itemOf(document: Document, index: u32): Item {
  return changetype<Item>(document.tape + index * offsetof<Item>());
}

function isName(at: usize, item: Item, name: string): bool {
  if (item.escaped) return decode(at, item.length) == name;
  const end = at + item.length;
  const units = changetype<usize>(name);
  const unitsEnd = units + (<usize>name.length << 1);
  let unit = units;
  while (at < end && unit < unitsEnd) {
    const bytes = sequenceBytes(at, end);
    putUtf16(pair, codePoint(at, bytes));
    if (load<u16>(unit) != load<u16>(pair)) return false;
    unit += 2;
    if (bytes == 4) {
      if (unit == unitsEnd || load<u16>(unit) != load<u16>(pair, 2)) return false;
      unit += 2;
    }
    at += bytes;
  }
  return at == end && unit == unitsEnd;
}

const pair: usize = memory.data(4);

/** A string of a text that has been checked. */
function decode(at: usize, bytes: u32): string {
  const units = changetype<usize>(__new(bytes << 1, idof<String>()));
  const end = at + bytes;
  let to = units;
  while (at < end) {
    const c: u32 = load<u8>(at);
    if (c != 0x5c) {
      const length = sequenceBytes(at, end);
      to = putUtf16(to, codePoint(at, length));
      at += length;
    } else if (load<u8>(at, 1) == 0x75) {
      let unit: u32 = 0;
      for (let i: usize = 2; i < 6; i++) unit = (unit << 4) | hexDigit(load<u8>(at + i));
      store<u16>(to, <u16>unit);
      to += 2;
      at += 6;
    } else {
      store<u16>(to, <u16>escapedUnit(load<u8>(at, 1)));
      to += 2;
      at += 2;
    }
  }
  return changetype<string>(__renew(units, to - units));
}

function escapedUnit(c: u32): u32 {
  switch (c) {
    case 0x62: return 0x08;
    case 0x66: return 0x0c;
    case 0x6e: return 0x0a;
    case 0x72: return 0x0d;
    case 0x74: return 0x09;
    default: return c;
  }
}

function isInteger(at: usize, bytes: u32): bool {
  const negative = load<u8>(at) == 0x2d;
  const limit: u64 = negative ? 1 << 63 : <u64>i64.MAX_VALUE;
  let value: u64 = 0;
  for (let i: u32 = negative ? 1 : 0; i < bytes; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    if (digit > 9 || value > (limit - digit) / 10) return false;
    value = value * 10 + digit;
  }
  return true;
}

function parseInteger(at: usize, bytes: u32): i64 {
  const negative = load<u8>(at) == 0x2d;
  let value: i64 = 0;
  for (let i: u32 = negative ? 1 : 0; i < bytes; i++) {
    value = value * 10 + (load<u8>(at + i) - 0x30);
  }
  return negative ? -value : value;
}
