// A request, as a handler sees it. Strings are made when they are asked for, from the bytes of the
// head.
import { Errno, span, Span, spanAddress, spanBytes } from "../../kernel/api";
import { Bytes } from "../bytes";
import { findField } from "../http/fields";
import { RequestHead } from "../http/request-head";
import { lower } from "../http/text";
import { Json } from "../json/json";
import { decodeUtf8 } from "../utf8";
import { Body } from "./body";
import { abandon, Connection } from "./connection";
import { percentDecode } from "./percent";
import { parameterOf } from "./route";

/** Bytes that a body without a length is given first. */
const BODY_BYTES_FIRST: u32 = 4096;

/** Valid until its handler returns. */
@final
export class Request {
  /** The pattern of the route that took it, by which param() knows its names. */
  pattern: string = "";
  private whole: Bytes | null = null; // the body, once it has been read

  constructor(
    private connection: Connection,
    private head: RequestHead,
    private content: Body,
    private bodyBytesMax: u32,
  ) {}

  /** In capitals, as it was sent. */
  get method(): string {
    return decodeUtf8(this.head.methodAt, this.head.methodBytes);
  }

  /** Without the query, still percent-encoded. */
  get path(): string {
    return decodeUtf8(this.head.path, this.head.pathBytes);
  }

  /** The part after the question mark, still percent-encoded; "" if there is none. */
  get query(): string {
    return decodeUtf8(this.queryAt, <u32>(this.queryEnd - this.queryAt));
  }

  /** The bytes of the method, for a comparison without a string. */
  get methodSpan(): Span {
    return span(this.head.methodAt, this.head.methodBytes);
  }

  /** The bytes of the path. */
  get pathSpan(): Span {
    return span(this.head.path, this.head.pathBytes);
  }

  /** The part of the path that stands for `:name` in the route's pattern, decoded; or "". */
  param(name: string): string {
    const part = parameterOf(this.pattern, this.pathSpan, name);
    return percentDecode(<usize>(part >> 32), <u32>part, false);
  }

  /** The first value of `name` in the query, decoded; null if it is not there. */
  queryValue(name: string): string | null {
    const end = this.queryEnd;
    for (let at = this.queryAt; at < end; ) {
      let stop = at;
      while (stop < end && load<u8>(stop) != 0x26) stop++;
      let equals = at;
      while (equals < stop && load<u8>(equals) != 0x3d) equals++;
      if (percentDecode(at, <u32>(equals - at), true) == name) {
        const value = min(equals + 1, stop);
        return percentDecode(value, <u32>(stop - value), true);
      }
      at = stop + 1;
    }
    return null;
  }

  /** The value of the first header called `name`, in any case; null if it is not there. */
  header(name: string): string | null {
    const bytes = name.length;
    const lowered = changetype<usize>(__new(bytes, idof<ArrayBuffer>()));
    for (let i = 0; i < bytes; i++) store<u8>(lowered + i, <u8>lower(name.charCodeAt(i)));
    const value = findField(this.head, span(lowered, bytes));
    return value == 0 ? null : decodeUtf8(spanAddress(value), spanBytes(value));
  }

  /**
   * All of the body, read the first time it is asked for, into the scope of that call. Yields. If
   * the body is too long, malformed or late, the client gets 413, 400 or 408, and the handler ends
   * here: do not hold a file or memory of the kernel meanwhile.
   */
  body(): Bytes {
    const known = this.whole;
    if (known) return known;
    const read = this.content.isChunked ? this.readChunks() : this.readLength();
    this.whole = read;
    return read;
  }

  /** The body as a string; what is not UTF-8 becomes U+FFFD. */
  text(): string {
    return this.body().toString();
  }

  /** The body as JSON: see Json.parse(). */
  json(): Json {
    return Json.parse(this.body());
  }

  /**
   * Reads the next part of the body into memory of the caller, for bodies of any length. Yields.
   * Returns the bytes; 0 at the end; -EPROTO if it is malformed, -EAGAIN if it is late, -ECONNRESET
   * if the client has left: then the connection ends after the response.
   */
  readInto(address: usize, bytes: i32): i32 {
    return this.content.read(address, max(bytes, 0));
  }

  /** After the question mark. */
  private get queryAt(): usize {
    return this.head.query + min<u32>(this.head.queryBytes, 1);
  }

  private get queryEnd(): usize {
    return this.head.query + this.head.queryBytes;
  }

  private readLength(): Bytes {
    const length = <u32>this.content.length; // serve() has compared it with the bound
    const buffer = __new(length, idof<ArrayBuffer>());
    let used: u32 = 0;
    while (used < length) used += this.part(buffer + used, length - used);
    return new Bytes(buffer, used);
  }

  private readChunks(): Bytes {
    let capacity = min(BODY_BYTES_FIRST, this.bodyBytesMax + 1);
    let buffer = __new(capacity, idof<ArrayBuffer>());
    let used: u32 = 0;
    while (true) {
      const got = this.part(buffer + used, capacity - used);
      if (got == 0) return new Bytes(buffer, used);
      used += got;
      if (used > this.bodyBytesMax) abandon(this.connection, 413);
      if (used < capacity) continue;
      capacity = min(capacity << 1, this.bodyBytesMax + 1);
      buffer = __renew(buffer, capacity);
    }
  }

  /** A part of the body. Does not return if it is not to be had. */
  private part(at: usize, bytes: u32): i32 {
    const got = this.content.read(at, bytes);
    if (got < 0) abandon(this.connection, statusOf(got));
    return got;
  }
}

/** 0: nobody is there to hear it. */
function statusOf(error: i32): u32 {
  if (error == -Errno.EPROTO) return 400;
  return error == -Errno.EAGAIN ? 408 : 0;
}
