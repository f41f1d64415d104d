// One request and its response on a connection: bytes of the connection become a Response, whose
// body holds up the connection while nobody reads it.
import { joinBytes } from "../bytes.ts";
import { malformed } from "./fetch-error.ts";
import type { ResponseHead } from "./response-head.ts";
import type { ResponseSink } from "./response-reader.ts";

/** Bytes of a body that wait for a reader before the connection is paused. */
const READ_AHEAD_BYTES = 65536;
/** Statuses whose Response takes no body. */
const BODILESS = /^(204|205|304)$/;

/** The connection, as an exchange uses it. */
export interface ExchangeOwner {
  pause(): void;
  resume(): void;
  /** The body was cancelled: nobody wants the rest. */
  cancelled(): void;
}

export class Exchange implements ResponseSink {
  /** The response has been read completely. */
  isComplete = false;
  /** May another request follow? */
  persists = false;
  readonly #owner: ExchangeOwner;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (reason: unknown) => void;
  #head: ResponseHead | null = null;
  #parts: Uint8Array[] = []; // of the body, before there is a stream
  #stream: ReadableStreamDefaultController<Uint8Array> | null = null;
  #isAnswered = false;

  constructor(
    owner: ExchangeOwner,
    resolve: (response: Response) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#owner = owner;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  head(head: ResponseHead): void {
    this.#head = head;
  }

  body(part: Uint8Array): void {
    if (this.#stream === null) {
      if (!this.#isAnswered) this.#parts.push(part); // else nobody can read it: status 205
      return;
    }
    this.#stream.enqueue(part.slice());
    if ((this.#stream.desiredSize ?? 0) <= 0) this.#owner.pause();
  }

  complete(): void {
    this.isComplete = true;
    this.persists = this.#head?.persists ?? false;
    this.#stream?.close();
    this.#stream = null;
  }

  /**
   * All bytes that are there have been read. Once the head is among them the caller gets its
   * Response. Throws a FetchError if that cannot be one.
   */
  answer(): void {
    if (this.#isAnswered || this.#head === null) return;
    const response = this.#response(this.#head);
    this.#isAnswered = true;
    this.#resolve(response);
  }

  /** There will be no response, or no more of it. */
  fail(reason: unknown): void {
    if (!this.#isAnswered) this.#reject(reason);
    this.#isAnswered = true;
    this.#stream?.error(reason);
    this.#stream = null;
  }

  #response({ status, statusText, fields }: ResponseHead): Response {
    const hasBody = this.#parts.length > 0 || !this.isComplete;
    const body = hasBody && !BODILESS.test(String(status)) ? this.#body() : null;
    try {
      return new Response(body, { status, statusText, headers: fields });
    } catch (error) {
      throw malformed("a field or the reason phrase", { cause: error });
    }
  }

  /** A short body, which came with its head, needs no stream of ours. */
  #body(): BodyInit {
    if (this.isComplete) return joinBytes(this.#parts);
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#stream = controller;
          for (const part of this.#parts) this.body(part);
        },
        // Once the response is complete, the connection is another exchange's.
        pull: () => {
          if (!this.isComplete) this.#owner.resume();
        },
        cancel: () => {
          this.#stream = null;
          if (!this.isComplete) this.#owner.cancelled();
        },
      },
      { highWaterMark: READ_AHEAD_BYTES, size: (part) => part.byteLength },
    );
  }
}
