// A connection to a port of the guest that carries one HTTP exchange after the other. Requests are
// not pipelined.
import type { SocketEvents, StreamSocket } from "../ports/sockets.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import { FetchError } from "./fetch-error.ts";
import type { RequestBody } from "./request-body.ts";
import { chunkHead } from "./request-head.ts";
import { ResponseReader } from "./response-reader.ts";

const CRLF = new Uint8Array([13, 10]);
const LAST_CHUNK = new Uint8Array([0x30, 13, 10, 13, 10]);

/** The pool, as its connections see it. */
export interface ConnectionOwner {
  /** The exchange is over, and another may follow. */
  freed(connection: HttpConnection): void;
  /** The connection is of no more use. Called once. */
  gone(connection: HttpConnection): void;
}

export class HttpConnection implements SocketEvents, ExchangeOwner {
  /** Exchanges that it has carried completely. */
  exchanges = 0;
  readonly #socket: StreamSocket;
  readonly #owner: ConnectionOwner;
  readonly #port: number;
  #exchange: Exchange | null = null;
  #reader: ResponseReader | null = null; // of the exchange
  #signal: AbortSignal | null = null; // that may abort it
  #upload: RequestBody | null = null; // that is being sent
  #sent: (() => void) | null = null; // continues the upload
  #isSending = false; // bytes that the guest's side has not taken
  #isConnected = false;
  #isPaused = false;
  #isGone = false;

  /** `dial` is VirtioDevice.dial, and may throw. */
  constructor(
    dial: (port: number, events: SocketEvents) => StreamSocket,
    port: number,
    owner: ConnectionOwner,
  ) {
    this.#owner = owner;
    this.#port = port;
    this.#socket = dial(port, this);
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Can it carry another exchange, as far as is known? */
  get isUsable(): boolean {
    return !this.#isGone && this.#exchange === null && this.#socket.peerGone?.() !== true;
  }

  /**
   * Sends a request on a connection that is not gone, and resolves with the head of the response.
   * Rejects with a FetchError, with the signal's reason, or with the reason for which the caller's
   * body failed.
   */
  send(
    method: string,
    head: Uint8Array,
    body: RequestBody,
    signal: AbortSignal | null,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#exchange = new Exchange(this, resolve, reject);
      this.#reader = new ResponseReader(this.#exchange);
      this.#reader.begin(method);
      this.#signal = signal;
      signal?.addEventListener("abort", this.#onAbort);
      if (body.rest === null) {
        this.#isSending = !this.#socket.send([head, ...body.parts]);
        return;
      }
      this.#upload = body;
      this.#sendBody(head, body).catch((error) => {
        if (this.#upload === body) this.#fail(error);
      });
    });
  }

  /** Did the last exchange end without a byte of its response? */
  get isUntouched(): boolean {
    return this.#reader?.isUntouched ?? false;
  }

  close(): void {
    this.#leave();
    this.#socket.close();
  }

  // ---- the request

  async #sendBody(head: Uint8Array, body: RequestBody): Promise<void> {
    const { length, parts, rest } = body;
    let bytes = 0;
    let before: readonly Uint8Array[] = [head];
    let ahead = parts;
    for (;;) {
      for (const part of ahead) bytes += part.length;
      if (length !== null && bytes > length) throw mismatch(length);
      await this.#put([...before, ...(length === null ? chunked(ahead) : ahead)]);
      if (this.#upload !== body) return; // the exchange has ended
      const part = (await rest?.next()) ?? null;
      if (this.#upload !== body) return;
      if (part === null) break;
      before = [];
      ahead = part.length === 0 ? [] : [part];
    }
    if (length !== null && bytes !== length) throw mismatch(length);
    if (length === null) await this.#put([LAST_CHUNK]);
    this.#upload = null;
    this.#checkOver();
  }

  /** Resolves when the guest's side has taken the bytes, or when the exchange has ended. */
  #put(parts: readonly Uint8Array[]): Promise<void> | undefined {
    if (this.#isGone || this.#socket.send(parts)) return undefined;
    this.#isSending = true;
    return new Promise((resolve) => {
      this.#sent = resolve;
    });
  }

  // ---- the response

  pause(): void {
    if (this.#isPaused || this.#isGone) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#isGone) this.#socket.resume();
  }

  cancelled(): void {
    this.#fail(new FetchError("ECONNRESET", "the body was cancelled"));
  }

  /** Once the response is complete, the connection is free for another exchange, or ends. */
  #checkOver(): void {
    const exchange = this.#exchange;
    if (exchange === null || !exchange.isComplete) return;
    // The guest has answered before it took the whole request.
    const isSending = this.#isSending && this.#socket.unsent !== 0;
    if (this.#upload !== null || isSending) {
      this.#fail(new FetchError("ECONNRESET", "the response came before the end of the request"));
    } else if (!exchange.persists) {
      this.close();
    } else {
      this.#finish();
      this.resume();
      this.exchanges++;
      this.#owner.freed(this);
    }
  }

  // ---- events of the socket

  connected(): void {
    this.#isConnected = true;
  }

  data(chunk: Uint8Array): void {
    if (this.#isGone) return;
    const exchange = this.#exchange;
    if (exchange === null || this.#reader === null) {
      this.#fail(null); // nobody asked
      return;
    }
    try {
      const isAll = this.#reader.push(chunk);
      if (!isAll) exchange.persists = false;
      exchange.answer();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#checkOver();
  }

  end(): void {
    if (this.#isGone) return;
    const exchange = this.#exchange;
    if (exchange === null) {
      this.close();
      return;
    }
    if (this.isUntouched) {
      this.#fail(this.#closedError());
      return;
    }
    try {
      this.#reader?.end();
      exchange.answer();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#checkOver();
  }

  sent(): void {
    this.#isSending = false;
    const sent = this.#sent;
    this.#sent = null;
    sent?.();
  }

  failed(error: Error): void {
    this.#lost(error);
  }

  closed(): void {
    this.#lost();
  }

  // ---- the end

  readonly #onAbort = (): void => this.#fail(this.#signal?.reason);

  #closedError(cause?: Error): FetchError {
    const options = cause === undefined ? undefined : { cause };
    if (!this.#isConnected) {
      return new FetchError("ECONNREFUSED", `port ${this.#port} refused the connection`, options);
    }
    return new FetchError("ECONNRESET", `port ${this.#port} closed the connection`, options);
  }

  /** The connection has ended. An idle one ends without an error, whose stack would cost much. */
  #lost(cause?: Error): void {
    this.#fail(this.#exchange === null ? null : this.#closedError(cause));
  }

  #fail(reason: unknown): void {
    if (this.#isGone) return;
    this.#exchange?.fail(reason);
    this.#upload?.rest?.cancel(reason);
    this.#leave();
    this.#socket.reset();
  }

  #leave(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#finish();
    this.sent(); // an upload finds that it is over
    this.#owner.gone(this);
  }

  /** The reader stays: it knows whether the response had begun. */
  #finish(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#signal = null;
    this.#exchange = null;
    this.#upload = null;
  }
}

function chunked(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  return parts.flatMap((part) => [chunkHead(part.length), part, CRLF]);
}

function mismatch(length: number): TypeError {
  return new TypeError(`fetch: the body has not the ${length} bytes of Content-Length`);
}
