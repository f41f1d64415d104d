// The body of a request (RFC 9112, 6 and 7.1), read from the socket when the handler asks for it.
import { Errno } from "../../kernel/api";
import { ChunkScanner } from "../http/chunked";
import { Framing } from "../http/framing";
import { discardBy, receiveBy, receiveLine } from "../receive";
import { allow, Connection, sendContinue } from "./connection";

/** A chunk's size with its extension, or one line of the trailer section; a longer one gets 400. */
const LINE_BYTES_MAX: u32 = 1024;
/** A body that no handler read is dropped up to this length, or else the connection ends. */
const DROPPED_BYTES_MAX: u64 = 65536;

@final
export class Body {
  private left: u64; // bytes of the body, or of the chunk
  private ended: bool;
  private started: bool = false; // somebody has asked for it
  /**
   * With Framing.Chunked, a ChunkScanner and a line after it: from the beginning, for read() may be
   * called in a scope of the handler.
   */
  private chunks: usize = 0;

  constructor(
    private connection: Connection,
    private framing: i32,
    readonly length: u64, // with Framing.Length
    private timeoutMs: u32,
    private waits: bool, // the client waits for 100 Continue
  ) {
    this.left = length;
    this.ended = framing == Framing.None;
    if (framing == Framing.Chunked) {
      this.chunks = __new(offsetof<ChunkScanner>() + LINE_BYTES_MAX, idof<ArrayBuffer>());
      memory.fill(this.chunks, 0, offsetof<ChunkScanner>());
    }
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
    if (this.framing == Framing.Chunked) this.scanner.skipData(got);
    else this.ended = this.left == 0;
    return got;
  }

  private fail(error: i32): i32 {
    this.connection.closing = true;
    return error;
  }

  private get scanner(): ChunkScanner {
    return changetype<ChunkScanner>(this.chunks);
  }

  /** Goes on to the next chunk. Returns 1, 0 after the last and the trailers, or an error. */
  private nextChunk(): i32 {
    const scanner = this.scanner;
    const line = this.chunks + offsetof<ChunkScanner>();
    while (!scanner.isAtData) {
      const bytes = this.readLine(line);
      if (bytes < 0) return this.fail(bytes);
      scanner.scan(line, bytes);
      if (scanner.isMalformed) return this.fail(-Errno.EPROTO);
      if (scanner.isDone) return 0;
    }
    this.left = scanner.left;
    return 1;
  }

  /** Reads a line. Returns its bytes, LF included, or an error. */
  private readLine(line: usize): i32 {
    const c = this.connection;
    const bytes = receiveLine(c.socket, line, LINE_BYTES_MAX, c.deadlineNs);
    if (bytes == 0 || bytes == -Errno.EPROTO) return -Errno.ECONNRESET;
    return bytes == -Errno.EMSGSIZE ? -Errno.EPROTO : bytes;
  }
}
