// The body of a request (RFC 9112, 6 and 7.1), read from the socket when the handler asks for it.
import { Errno } from "../../kernel/api";
import { Framing } from "../http/framing";
import { hexDigit } from "../http/text";
import { discardBy, receiveBy, receiveLine } from "../receive";
import { allow, Connection, sendContinue } from "./connection";

/** A chunk's size with its extension, or one line of the trailer section; a longer one gets 400. */
const LINE_BYTES_MAX: u32 = 1024;
/** All of the trailer section. */
const TRAILER_BYTES_MAX: u32 = 8192;
/** A body that no handler read is dropped up to this length, or else the connection ends. */
const DROPPED_BYTES_MAX: u64 = 65536;

const CR: u32 = 13;
const SEMICOLON: u32 = 0x3b;

@final
export class Body {
  private left: u64; // bytes of the body, or of the chunk
  private ended: bool;
  private started: bool = false; // somebody has asked for it
  private firstChunk: bool = true;
  /** Memory for a line, from the beginning, for read() may be called in a scope of the handler. */
  private line: usize = 0;

  constructor(
    private connection: Connection,
    private framing: i32,
    readonly length: u64, // with Framing.Length
    private timeoutMs: u32,
    private waits: bool, // the client waits for 100 Continue
  ) {
    this.left = length;
    this.ended = framing == Framing.None;
    if (framing == Framing.Chunked) this.line = __new(LINE_BYTES_MAX, idof<ArrayBuffer>());
  }

  get isChunked(): bool {
    return this.framing == Framing.Chunked;
  }

  /** Has all of it been read? */
  get isRead(): bool {
    return this.ended;
  }

  /**
   * Reads up to `bytes` bytes into memory. Yields. Returns how many; 0 at the end; -EPROTO for a
   * malformed chunk, -EAGAIN when it takes too long, -ECONNRESET when the client has left.
   */
  read(at: usize, bytes: u32): i32 {
    this.start();
    const ready = this.next();
    if (ready <= 0) return ready;
    const c = this.connection;
    return this.took(receiveBy(c.socket, at, <u32>min<u64>(this.left, bytes), c.deadlineNs));
  }

  /** Drops what was not read. Yields. False: there is too much, and the connection has to end. */
  drop(): bool {
    if (!this.started && this.waits) return this.ended; // it may or may not come
    if (!this.ended) this.start();
    const c = this.connection;
    let dropped: u64 = 0;
    while (dropped <= DROPPED_BYTES_MAX) {
      const ready = this.next();
      if (ready <= 0) return ready == 0;
      const got = this.took(discardBy(c.socket, this.left, c.deadlineNs));
      if (got <= 0) return false;
      dropped += got;
    }
    return false;
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    allow(this.connection, this.timeoutMs);
    if (this.waits && !this.ended) sendContinue(this.connection);
  }

  /** Comes to the next bytes. Returns 1, 0 at the end, or an error. */
  private next(): i32 {
    if (this.ended) return 0;
    if (this.left != 0) return 1;
    const status = this.framing == Framing.Chunked ? this.nextChunk() : 0;
    this.ended = status <= 0;
    return status;
  }

  private took(got: i32): i32 {
    if (got == 0 || got == -Errno.EPIPE) return this.fail(-Errno.ECONNRESET);
    if (got < 0) return this.fail(got);
    this.left -= got;
    if (this.left == 0 && this.framing == Framing.Length) this.ended = true;
    return got;
  }

  private fail(error: i32): i32 {
    this.connection.closing = true;
    return error;
  }

  /** Goes on to the next chunk. Returns 1, 0 after the last, or an error. */
  private nextChunk(): i32 {
    const line = this.line;
    if (!this.firstChunk) {
      const bytes = this.readLine(line);
      if (bytes != 0) return this.fail(bytes < 0 ? bytes : -Errno.EPROTO);
    }
    this.firstChunk = false;
    const bytes = this.readLine(line);
    if (bytes < 0) return this.fail(bytes);
    if (!this.parseSize(line, bytes)) return this.fail(-Errno.EPROTO);
    if (this.left != 0) return 1;
    return this.skipTrailers(line);
  }

  /** HB4: hexadecimal digits, and perhaps an extension, which is ignored. */
  private parseSize(line: usize, bytes: u32): bool {
    let size: u64 = 0;
    let digits: u32 = 0;
    for (; digits < bytes; digits++) {
      const digit = hexDigit(load<u8>(line + digits));
      if (digit > 15) break;
      if (size >> 58 != 0) return false; // more than 2^62
      size = (size << 4) | digit;
    }
    this.left = size;
    return digits != 0 && (digits == bytes || load<u8>(line + digits) == SEMICOLON);
  }

  /** HB5: fields after the last chunk are read and dropped. */
  private skipTrailers(line: usize): i32 {
    let total: u32 = 0;
    while (true) {
      const bytes = this.readLine(line);
      if (bytes <= 0) return bytes < 0 ? this.fail(bytes) : 0;
      total += bytes;
      if (total > TRAILER_BYTES_MAX) return this.fail(-Errno.EPROTO);
    }
  }

  /** Reads a line; returns its bytes without CR LF, or an error. A bare LF is none. */
  private readLine(line: usize): i32 {
    const c = this.connection;
    const bytes = receiveLine(c.socket, line, LINE_BYTES_MAX, c.deadlineNs);
    if (bytes == 0 || bytes == -Errno.EPROTO) return -Errno.ECONNRESET;
    if (bytes < 0) return bytes == -Errno.EMSGSIZE ? -Errno.EPROTO : bytes;
    return bytes >= 2 && load<u8>(line + bytes - 2) == CR ? bytes - 2 : -Errno.EPROTO;
  }
}
