// The response of a handler. One with a body in one piece is sent when the handler has returned, so
// that a handler that throws has sent nothing, and answers 500.
import {
  Errno,
  IoVec,
  span,
  Span,
  spanAddress,
  spanBytes,
  SysSocketSendVector,
  text,
} from "../../kernel/api";
import { Bytes } from "../bytes";
import { isIn, TOKEN } from "../http/characters";
import { Method, RequestHead } from "../http/request-head";
import { putEnd, putLength, putStartWith, RESPONSE_HEAD_BYTES_MAX } from "../http/response";
import { isText, putBytes, putHex, putText } from "../http/text";
import { JsonWriter } from "../json/writer";
import { Writer } from "../writer";
import { Connection } from "./connection";
import { phraseOf } from "./phrase";

const enum Stage {
  Collecting, // nothing was sent
  Streaming, // begin() has sent the head
  Ended,
}

/** Of the size of a chunk, and CR LF. */
const SIZE_BYTES: u32 = 16;
const NOTHING: Span = 0;

/** Each method but begin(), write() and end() only notes what to send, and does not yield. */
@final
export class Response {
  /** 200 to 599. */
  status: i32 = 200;
  private stage: Stage = Stage.Collecting;
  private fields: Writer = new Writer(128);
  private hasType: bool = false;
  private content: Bytes = new Bytes(0, 0);
  /** Memory of send(), from the beginning, for write() may be called in a scope of the handler. */
  private vector: usize = __new(3 * offsetof<IoVec>(), idof<ArrayBuffer>());
  private size: usize = __new(SIZE_BYTES, idof<ArrayBuffer>());

  constructor(
    private connection: Connection,
    private request: RequestHead,
  ) {}

  /**
   * Adds a header. Throws for a name or value that would break the head (HB10), and for the headers
   * that the server itself writes: Content-Length, Transfer-Encoding, Connection, Date and Server.
   */
  header(name: string, value: string): Response {
    const n = Bytes.from(name);
    const v = Bytes.from(value);
    if (!isName(n)) throw new Error("Response: no name of a header");
    if (!isValue(v)) throw new Error("Response: a control character in the value of a header");
    if (isReserved(n)) throw new Error("Response: the server writes this header");
    if (isText(n.address, n.length, text("content-type"))) this.hasType = true;
    this.fields.bytes(n).text(text(": ")).bytes(v).text(text("\r\n"));
    return this;
  }

  /** The body as text/plain. */
  text(body: string): void {
    this.typed("text/plain; charset=utf-8", Bytes.from(body));
  }

  /** The body as text/html. */
  html(body: string): void {
    this.typed("text/html; charset=utf-8", Bytes.from(body));
  }

  /** The body as application/json. */
  json(body: JsonWriter): void {
    this.typed("application/json", body.toBytes());
  }

  /** The body, of the type that header() has set, or of none. It must stay as it is. */
  bytes(body: Bytes): void {
    if (this.stage != Stage.Collecting) throw new Error("Response: it has begun");
    this.content = body;
  }

  /**
   * Sends the head; the body follows in pieces of write(), up to end(). Yields. A client of
   * HTTP/1.0 gets no chunks, and the connection's end is that of the body.
   */
  begin(): void {
    if (this.stage != Stage.Collecting) throw new Error("Response: it has begun");
    this.stage = Stage.Streaming;
    if (!this.isChunked && this.hasBody) this.connection.closing = true;
    const start = this.headMemory();
    let end = this.putFields(start);
    if (this.isChunked) end = putText(end, text("Transfer-Encoding: chunked\r\n"));
    end = putEnd(end, !this.connection.closing);
    this.send(span(start, <u32>(end - start)), NOTHING, NOTHING);
  }

  /**
   * Sends a piece. Yields while the client is slow. Returns its bytes, or a negative error: the
   * client has left, or has taken nothing for too long.
   */
  write(piece: Bytes): i32 {
    if (this.stage != Stage.Streaming) throw new Error("Response: write() without begin()");
    if (piece.length == 0 || !this.hasBody) return piece.length;
    const bytes = span(piece.address, piece.length);
    if (!this.isChunked) return this.send(NOTHING, bytes, NOTHING);
    const end = putText(putHex(this.size, piece.length), text("\r\n"));
    return this.send(span(this.size, <u32>(end - this.size)), bytes, text("\r\n"));
  }

  /** The body is complete. Yields. serve() calls it for a handler that has not. */
  end(): void {
    if (this.stage == Stage.Streaming && this.isChunked) {
      this.send(NOTHING, NOTHING, text("0\r\n\r\n"));
    } else if (this.stage == Stage.Collecting) {
      this.sendWhole();
    }
    this.stage = Stage.Ended;
  }

  private typed(type: string, body: Bytes): void {
    this.bytes(body);
    if (!this.hasType) this.header("Content-Type", type);
  }

  /** HB9: neither HEAD, nor 204 and 304 have a body. */
  private get hasBody(): bool {
    return this.request.method != Method.HEAD && mayHaveBody(this.status);
  }

  private get isChunked(): bool {
    return this.request.minor != 0 && mayHaveBody(this.status) && this.hasBody; // HB11
  }

  private sendWhole(): void {
    const start = this.headMemory();
    let end = this.putFields(start);
    if (mayHaveBody(this.status)) end = putLength(end, this.content.length);
    end = putEnd(end, !this.connection.closing);
    const body = this.hasBody ? span(this.content.address, this.content.length) : NOTHING;
    this.send(span(start, <u32>(end - start)), body, NOTHING);
  }

  private headMemory(): usize {
    const bytes = RESPONSE_HEAD_BYTES_MAX + this.fields.length;
    return changetype<usize>(__new(bytes, idof<ArrayBuffer>()));
  }

  private putFields(at: usize): usize {
    const status = <u32>this.status;
    if (status < 200 || status > 599) throw new RangeError("Response: no such status");
    const fields = this.fields.toBytes();
    return putBytes(putStartWith(at, status, phraseOf(status)), fields.address, fields.length);
  }

  /** Sends three parts in one call. Returns the bytes of the second one, or an error. */
  private send(before: Span, piece: Span, after: Span): i32 {
    setEntry(this.vector, 0, before);
    setEntry(this.vector, 1, piece);
    setEntry(this.vector, 2, after);
    this.connection.sent = true;
    const wanted = <i32>(spanBytes(before) + spanBytes(piece) + spanBytes(after));
    const sent = SysSocketSendVector(this.connection.socket, this.vector, 3, 0);
    if (sent == wanted) return <i32>spanBytes(piece);
    this.connection.closing = true;
    return sent < 0 ? sent : -Errno.ECONNRESET;
  }
}

function setEntry(vector: usize, i: u32, bytes: Span): void {
  const entry = changetype<IoVec>(vector + i * offsetof<IoVec>());
  entry.base = spanAddress(bytes);
  entry.length = spanBytes(bytes);
}

function mayHaveBody(status: i32): bool {
  return status != 204 && status != 304;
}

function isName(name: Bytes): bool {
  for (let i = 0; i < name.length; i++) if (!isIn(name.at(i), TOKEN)) return false;
  return name.length != 0;
}

function isValue(value: Bytes): bool {
  for (let i = 0; i < value.length; i++) {
    const c = value.at(i);
    if ((c < 0x20 && c != 9) || c == 0x7f) return false;
  }
  return true;
}

function isReserved(name: Bytes): bool {
  const at = name.address;
  const bytes = name.length;
  return isText(at, bytes, text("content-length")) ||
    isText(at, bytes, text("transfer-encoding")) || isText(at, bytes, text("connection")) ||
    isText(at, bytes, text("date")) || isText(at, bytes, text("server"));
}
