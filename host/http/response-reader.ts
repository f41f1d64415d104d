// Reads responses from the bytes of a connection, however they are split (RFC 9112, 6 and 7).
import { malformed } from "./fetch-error.ts";
import { Framing, latin1, parseField, parseHead, type ResponseHead } from "./response-head.ts";

/** A status line with its fields; more is an error. */
const HEAD_BYTES_MAX = 65536;
/** The size of a chunk, with its extensions. */
const LINE_BYTES_MAX = 4096;
const TRAILER_BYTES_MAX = 16384;
/** Interim responses before a final one. */
const INTERIM_MAX = 32;
const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";
const QUOTED = '"(?:[^"\\\\\\0\\r\\n]|\\\\[^\\0\\r\\n])*"';
/** With extensions, which are dropped (RFC 9112, 7.1.1). */
const CHUNK_SIZE = new RegExp(`^([0-9a-f]{1,12})(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*$`, "i");
/** Fields that frame a message may not come after it (RFC 9110, 6.5.1). */
const FRAMES = /^(content-length|transfer-encoding)$/i;
const CR = 13;
const LF = 10;

/** Receives one response. */
export interface ResponseSink {
  /** The final head; interim responses (1xx) are dropped. */
  head(head: ResponseHead): void;
  /** A part of the body, never empty, and not to be changed. */
  body(part: Uint8Array): void;
  /** The response is complete. */
  complete(): void;
}

const enum Expects {
  Nothing, // between responses
  Head,
  Body, // of known length
  ChunkSize,
  ChunkData,
  ChunkEnd,
  Trailer,
  AnyBytes, // until the connection ends
}

export class ResponseReader {
  readonly #sink: ResponseSink;
  #method = "";
  #expects = Expects.Nothing;
  #remaining = 0; // of the body or the chunk
  #interim = 0;
  #trailerBytes = 0;
  // A head or a line that is incomplete: its bytes so far, and how much of its end was seen.
  #held = new Uint8Array(0);
  #heldBytes = 0;
  #matched = 0;
  #at = 0; // in the chunk that is read

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** A request of `method` was sent. */
  begin(method: string): void {
    this.#method = method;
    this.#expects = Expects.Head;
    this.#interim = 0;
  }

  /** Has no byte of the response come? */
  get isUntouched(): boolean {
    return this.#expects === Expects.Head && this.#heldBytes === 0 && this.#interim === 0;
  }

  /** Returns whether all bytes belong to the response. Throws a FetchError if they break HTTP. */
  push(chunk: Uint8Array): boolean {
    this.#at = 0;
    while (this.#at < chunk.length) {
      if (this.#expects === Expects.Nothing) return false;
      this.#step(chunk);
    }
    return true;
  }

  /** The connection has ended. Throws a FetchError if that cuts the response off. */
  end(): void {
    if (this.#expects === Expects.AnyBytes) this.#complete();
    else if (this.#expects !== Expects.Nothing) throw malformed("it ends too early");
  }

  #step(chunk: Uint8Array): void {
    switch (this.#expects) {
      case Expects.Head:
        this.#head(this.#until(chunk, 4, HEAD_BYTES_MAX));
        break;
      case Expects.Body:
        if (this.#take(chunk)) this.#complete();
        break;
      case Expects.ChunkSize:
        this.#size(this.#until(chunk, 2, LINE_BYTES_MAX));
        break;
      case Expects.ChunkData:
        if (this.#take(chunk)) this.#expects = Expects.ChunkEnd;
        break;
      case Expects.ChunkEnd: {
        const end = this.#until(chunk, 2, 2);
        if (end !== null) this.#expects = Expects.ChunkSize;
        break;
      }
      case Expects.Trailer:
        this.#trailer(this.#until(chunk, 2, TRAILER_BYTES_MAX));
        break;
      default: // until the end
        this.#sink.body(this.#at === 0 ? chunk : chunk.subarray(this.#at));
        this.#at = chunk.length;
    }
  }

  #head(bytes: Uint8Array | null): void {
    if (bytes === null) return;
    const head = parseHead(bytes, this.#method);
    if (head.status < 200) {
      if (head.status === 101) throw malformed("nobody asked for another protocol");
      if (++this.#interim > INTERIM_MAX) throw malformed("too many interim responses");
      return;
    }
    this.#sink.head(head);
    this.#remaining = head.length;
    if (head.framing === Framing.None) this.#complete();
    else if (head.framing === Framing.Length) this.#expects = Expects.Body;
    else if (head.framing === Framing.Chunked) this.#expects = Expects.ChunkSize;
    else this.#expects = Expects.AnyBytes;
  }

  #size(bytes: Uint8Array | null): void {
    if (bytes === null) return;
    const [, digits] = CHUNK_SIZE.exec(latin1(bytes.subarray(0, -2))) ?? [];
    if (digits === undefined) throw malformed("the size of a chunk");
    this.#remaining = Number.parseInt(digits, 16);
    this.#trailerBytes = 0;
    this.#expects = this.#remaining === 0 ? Expects.Trailer : Expects.ChunkData;
  }

  /** Trailer fields are dropped. */
  #trailer(bytes: Uint8Array | null): void {
    if (bytes === null) return;
    this.#trailerBytes += bytes.length;
    if (this.#trailerBytes > TRAILER_BYTES_MAX) throw malformed("a trailer that is too long");
    if (bytes.length === 2) {
      this.#complete();
      return;
    }
    const [name] = parseField(latin1(bytes.subarray(0, -2)));
    if (FRAMES.test(name)) throw malformed(`${name} in a trailer`);
  }

  /** Passes on bytes of the body. True: that was the last of them. */
  #take(chunk: Uint8Array): boolean {
    const end = Math.min(chunk.length, this.#at + this.#remaining);
    this.#remaining -= end - this.#at;
    const isWhole = this.#at === 0 && end === chunk.length;
    this.#sink.body(isWhole ? chunk : chunk.subarray(this.#at, end));
    this.#at = end;
    return this.#remaining === 0;
  }

  #complete(): void {
    this.#expects = Expects.Nothing;
    this.#sink.complete();
  }

  /**
   * The bytes up to CR LF (`marks` 2) or CR LF CR LF (4), these included; null: they are not all
   * there yet, and are kept.
   */
  #until(chunk: Uint8Array, marks: 2 | 4, most: number): Uint8Array | null {
    const start = this.#at;
    let matched = this.#matched;
    let at = start;
    while (at < chunk.length && matched < marks) {
      const byte = chunk[at++];
      if (byte === ((matched & 1) === 0 ? CR : LF)) matched++;
      else matched = byte === CR ? 1 : 0;
    }
    this.#at = at;
    if (this.#heldBytes + at - start > most) throw malformed("a head or line that is too long");
    const isDone = matched === marks;
    this.#matched = isDone ? 0 : matched;
    if (isDone && this.#heldBytes === 0) return chunk.subarray(start, at);
    this.#hold(chunk.subarray(start, at));
    if (!isDone) return null;
    const bytes = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    return bytes;
  }

  #hold(bytes: Uint8Array): void {
    const needed = this.#heldBytes + bytes.length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.max(256, needed, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes = needed;
  }
}
