// Writes JSON text, as JSON.stringify does. Each method returns the writer.
import { text } from "../../kernel/api";
import { Bytes } from "../bytes";
import { Writer } from "../writer";
import { putShortest, SHORTEST_BYTES_MAX } from "./shortest";
import { DEPTH_MAX } from "./tape";

const scratch: usize = memory.data(32);

/**
 * Objects are begin(), key() and a value for each member, end(); arrays are array(), values,
 * endArray(). What is not JSON throws: a value without a name in an object, an end of what was not
 * begun, more than 64 levels, and numbers that JSON has none for, NaN and Infinity.
 */
@final
export class JsonWriter {
  private out: Writer = new Writer();
  private depth: i32 = 0;
  private objects: u64 = 0; // bit d: level d is an object
  private comma: bool = false; // something stands before at this level
  private named: bool = false; // a name waits for its value

  /** Begins an object. */
  begin(): JsonWriter {
    this.open(0x7b, true);
    return this;
  }

  /** Ends an object. */
  end(): JsonWriter {
    this.close(0x7d, true);
    return this;
  }

  /** Begins an array. */
  array(): JsonWriter {
    this.open(0x5b, false);
    return this;
  }

  /** Ends an array. */
  endArray(): JsonWriter {
    this.close(0x5d, false);
    return this;
  }

  /** The name of the next member. */
  key(name: string): JsonWriter {
    if (!this.inObject() || this.named) throw new Error("JsonWriter: a name outside an object");
    if (this.comma) this.out.byte(0x2c);
    this.quote(name);
    this.out.byte(0x3a);
    this.named = true;
    return this;
  }

  /** A string. A surrogate without its other half is escaped. */
  string(value: string): JsonWriter {
    this.value();
    this.quote(value);
    return this;
  }

  /** The shortest text that reads back as the same number. */
  number(value: f64): JsonWriter {
    if (!isFinite(value)) throw new RangeError("JsonWriter: JSON has no such number");
    this.value();
    this.out.bytes(new Bytes(scratch, <i32>(putShortest(scratch, value) - scratch)));
    return this;
  }

  /** All digits of an integer. */
  integer(value: i64): JsonWriter {
    this.value();
    if (value < 0) this.out.byte(0x2d);
    this.out.number(value < 0 ? 0 - <u64>value : <u64>value);
    return this;
  }

  /** `true` or `false`. */
  bool(value: bool): JsonWriter {
    this.value();
    this.out.text(value ? text("true") : text("false"));
    return this;
  }

  /** `null`, which is a word of the language. */
  null_(): JsonWriter {
    this.value();
    this.out.text(text("null"));
    return this;
  }

  /** A view of the text, valid until more is written. Throws if something is still open. */
  toBytes(): Bytes {
    if (this.depth != 0 || !this.comma) throw new Error("JsonWriter: the value is not complete");
    return this.out.toBytes();
  }

  /** The text as a string. Throws if something is still open. */
  toString(): string {
    return this.toBytes().toString();
  }

  private inObject(): bool {
    return this.depth != 0 && ((this.objects >> (this.depth - 1)) & 1) != 0;
  }

  /** Before each value: what separates it from the one before. */
  private value(): void {
    if (this.inObject() != this.named) throw new Error("JsonWriter: a value without a name");
    if (this.depth == 0 && this.comma) throw new Error("JsonWriter: a second value");
    if (this.comma && !this.named) this.out.byte(0x2c);
    this.named = false;
    this.comma = true;
  }

  private open(bracket: u32, isObject: bool): void {
    if (this.depth == <i32>DEPTH_MAX) throw new RangeError("JsonWriter: more than 64 levels");
    this.value();
    this.out.byte(bracket);
    const bit: u64 = 1 << this.depth;
    this.objects = isObject ? this.objects | bit : this.objects & ~bit;
    this.depth++;
    this.comma = false;
  }

  private close(bracket: u32, isObject: bool): void {
    if (this.depth == 0 || this.inObject() != isObject || this.named) {
      throw new Error("JsonWriter: nothing to end");
    }
    this.out.byte(bracket);
    this.depth--;
    this.comma = true;
  }

  private quote(value: string): void {
    this.out.byte(0x22);
    let from = 0;
    for (let i = 0; i < value.length; i++) {
      const unit: u32 = value.charCodeAt(i);
      const lone = (unit & 0xf800) == 0xd800 && !isPaired(value, i, unit);
      if (unit >= 0x20 && unit != 0x22 && unit != 0x5c && !lone) continue;
      if (i > from) this.out.string(value.substring(from, i));
      this.escape(unit);
      from = i + 1;
    }
    this.out.string(from == 0 ? value : value.substring(from));
    this.out.byte(0x22);
  }

  private escape(unit: u32): void {
    this.out.byte(0x5c);
    const short = shortEscape(unit);
    if (short != 0) {
      this.out.byte(short);
      return;
    }
    this.out.byte(0x75);
    for (let shift = 12; shift >= 0; shift -= 4) {
      const digit = (unit >> shift) & 15;
      this.out.byte(digit < 10 ? 0x30 + digit : 0x57 + digit);
    }
  }
}

function isPaired(s: string, i: i32, unit: u32): bool {
  if (unit < 0xdc00) return i + 1 < s.length && (s.charCodeAt(i + 1) & 0xfc00) == 0xdc00;
  return i > 0 && (s.charCodeAt(i - 1) & 0xfc00) == 0xd800;
}

/** The letter after the backslash; 0: \u and four digits. */
function shortEscape(unit: u32): u32 {
  switch (unit) {
    case 0x08: return 0x62;
    case 0x09: return 0x74;
    case 0x0a: return 0x6e;
    case 0x0c: return 0x66;
    case 0x0d: return 0x72;
    case 0x22: return 0x22;
    case 0x5c: return 0x5c;
    default: return 0;
  }
}
