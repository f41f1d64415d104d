// Bytes of others, as an object: a view, which is valid as long as they are.
import { Span, spanAddress, spanBytes } from "../kernel/api";
import { decodeUtf8, putString } from "./utf8";

/** A view of bytes. It owns nothing, and is valid as long as they are. */
@final
export class Bytes {
  /** A view of `length` bytes at `address`. */
  constructor(
    readonly address: usize,
    readonly length: i32,
  ) {}

  /** A view of a span, such as text("..."). */
  static of(s: Span): Bytes {
    return new Bytes(spanAddress(s), <i32>spanBytes(s));
  }

  /** The string as UTF-8, in the arena. A surrogate without its other half becomes U+FFFD. */
  static from(s: string): Bytes {
    const buffer = __new(<usize>s.length * 3, idof<ArrayBuffer>());
    const bytes = putString(buffer, s) - buffer;
    return new Bytes(__renew(buffer, bytes), <i32>bytes);
  }

  /** The byte at `i`, which must be less than length. */
  at(i: i32): u32 {
    if (<u32>i >= <u32>this.length) throw new RangeError("Bytes: index out of range");
    return load<u8>(this.address + i);
  }

  /** Where `byte` stands at or after `from`, or -1. */
  indexOf(byte: u32, from: i32 = 0): i32 {
    for (let i = max(from, 0); i < this.length; i++) {
      if (<u32>load<u8>(this.address + i) == byte) return i;
    }
    return -1;
  }

  /** A view of the bytes from `start` up to `end`. Both are cut to what there is. */
  slice(start: i32, end: i32 = i32.MAX_VALUE): Bytes {
    const from = min(max(start, 0), this.length);
    const to = min(max(end, from), this.length);
    return new Bytes(this.address + from, to - from);
  }

  /** Are these the bytes of the span? */
  equals(s: Span): bool {
    const same = <i32>spanBytes(s) == this.length;
    return same && memory.compare(this.address, spanAddress(s), this.length) == 0;
  }

  /** As UTF-8; what is not UTF-8 becomes U+FFFD. */
  toString(): string {
    return decodeUtf8(this.address, this.length);
  }
}
