// A buffer that grows, in the arena: for bodies and lines. Each method returns the writer.
import { Span, spanAddress, spanBytes } from "../kernel/api";
import { Bytes } from "./bytes";
import { putBytes, putHex, putNumber, putText } from "./http/text";
import { putString } from "./utf8";

const BYTES_MAX: usize = 1 << 28;

/** Bytes that are written one after another. */
@final
export class Writer {
  private start: usize;
  private end: usize;
  private limit: usize;

  /** `capacity`: bytes that it holds before it grows for the first time. */
  constructor(capacity: i32 = 256) {
    this.start = __new(max(capacity, 16), idof<ArrayBuffer>());
    this.end = this.start;
    this.limit = this.start + max(capacity, 16);
  }

  /** Bytes written. */
  get length(): i32 {
    return <i32>(this.end - this.start);
  }

  /** One byte: the lowest eight bits. */
  byte(value: u32): Writer {
    const at = this.room(1);
    store<u8>(at, <u8>value);
    this.end = at + 1;
    return this;
  }

  /** UTF-8 that is static, or lives long enough. */
  text(s: Span): Writer {
    this.end = putText(this.room(spanBytes(s)), s);
    return this;
  }

  /** A string, as UTF-8. */
  string(s: string): Writer {
    this.end = putString(this.room(<usize>s.length * 3), s);
    return this;
  }

  /** A copy of the bytes. */
  bytes(b: Bytes): Writer {
    this.end = putBytes(this.room(b.length), b.address, b.length);
    return this;
  }

  /** In decimal. */
  number(value: u64): Writer {
    this.end = putNumber(this.room(20), value);
    return this;
  }

  /** In hexadecimal. */
  hex(value: u64): Writer {
    this.end = putHex(this.room(16), value);
    return this;
  }

  /** A view of what has been written. It is valid until more is written. */
  toBytes(): Bytes {
    return new Bytes(this.start, this.length);
  }

  /** All of it, as UTF-8. */
  toString(): string {
    return this.toBytes().toString();
  }

  /** The address of the end, after which `bytes` more have room. */
  private room(bytes: usize): usize {
    if (bytes <= this.limit - this.end) return this.end;
    const used = this.end - this.start;
    if (bytes > BYTES_MAX - used) throw new RangeError("Writer: more than 256 MiB");
    const capacity = max((this.limit - this.start) << 1, used + bytes);
    this.start = __renew(this.start, capacity);
    this.end = this.start + used;
    this.limit = this.start + capacity;
    return this.end;
  }
}
