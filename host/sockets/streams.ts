// A stream socket as a pair of web streams, with back-pressure both ways: the socket is paused
// while nobody reads, and a write resolves when the other side has taken its bytes.
import type { SocketEvents, StreamSocket } from "../ports/sockets.ts";

/** A connection. Each direction ends by itself: close `writable` to end sending. */
export interface StreamPair {
  /**
   * Bytes of the other side, until it ends. Errors when the connection breaks. After cancel()
   * further bytes are discarded.
   */
  readonly readable: ReadableStream<Uint8Array>;
  /**
   * Bytes for the other side. A chunk must not change until its write has resolved. abort() resets
   * the connection, in both directions.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/** Bytes that wait for a reader before the socket is paused. */
const READ_AHEAD_BYTES = 65536;

interface Write {
  resolve(): void;
  reject(reason: unknown): void;
}

/**
 * Connects with `dial`, and resolves once the other side has accepted. Rejects with an Error that
 * begins with `name` if it refuses, or with the signal's reason; an abort later resets the
 * connection, and errors both streams.
 */
export function connectStreams(
  dial: (events: SocketEvents) => StreamSocket,
  name: string,
  signal?: AbortSignal,
): Promise<StreamPair> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    new SocketStreams(dial, name, signal, { resolve, reject });
  });
}

interface Opening {
  resolve(streams: StreamPair): void;
  reject(reason: unknown): void;
}

class SocketStreams implements SocketEvents {
  readonly #socket: StreamSocket;
  readonly #name: string;
  readonly #signal: AbortSignal | undefined;
  /** null: the other side has accepted. */
  #opening: Opening | null;
  #in: ReadableStreamDefaultController<Uint8Array> | null = null; // null: ended
  #out: WritableStreamDefaultController | null = null; // null: closed, or in error
  #write: Write | null = null; // that the other side has not taken
  #isPaused = false;
  #isDiscarding = false;
  #isOver = false;

  constructor(
    dial: (events: SocketEvents) => StreamSocket,
    name: string,
    signal: AbortSignal | undefined,
    opening: Opening,
  ) {
    this.#name = name;
    this.#signal = signal;
    this.#opening = opening;
    this.#socket = dial(this);
    signal?.addEventListener("abort", this.#onAbort);
  }

  // ---- events of the socket

  connected(): void {
    const opening = this.#opening;
    this.#opening = null;
    opening?.resolve(this.#open());
  }

  data(chunk: Uint8Array): void {
    if (this.#isDiscarding || this.#in === null) return;
    this.#in.enqueue(chunk.slice());
    if ((this.#in.desiredSize ?? 0) > 0) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  end(): void {
    if (!this.#isDiscarding) this.#in?.close();
    this.#in = null;
  }

  sent(): void {
    const write = this.#write;
    this.#write = null;
    write?.resolve();
  }

  failed(error: Error): void {
    const message = this.#opening === null ? "the connection broke" : "the connection was refused";
    this.#break(new Error(`${this.#name}: ${message}`, { cause: error }));
  }

  closed(): void {
    this.#break(new Error(`${this.#name}: the connection is closed`));
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  // ---- the streams

  #open(): StreamPair {
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#in = controller;
        },
        pull: () => this.#resume(),
        cancel: () => this.#discard(),
      },
      { highWaterMark: READ_AHEAD_BYTES, size: (chunk) => chunk.byteLength },
    );
    const writable = new WritableStream<Uint8Array>({
      start: (controller) => {
        this.#out = controller;
        // A sink's abort() is called only after a write under way, which may never end.
        const { signal } = controller;
        signal.addEventListener("abort", () => {
          this.#out = null; // it is in error already
          this.#reset(signal.reason);
        });
      },
      write: (chunk) => this.#send(chunk),
      close: () => this.#finish(),
    });
    return { readable, writable };
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  #discard(): void {
    this.#isDiscarding = true;
    this.#resume();
  }

  #send(chunk: Uint8Array): Promise<void> | undefined {
    if (!(chunk instanceof Uint8Array)) {
      throw new TypeError(`${this.#name}: a chunk is a Uint8Array, not ${typeof chunk}`);
    }
    if (this.#socket.send([chunk])) return undefined;
    return new Promise((resolve, reject) => {
      this.#write = { resolve, reject };
    });
  }

  #finish(): void {
    this.#out = null;
    this.#socket.end();
  }

  readonly #onAbort = (): void => this.#reset(this.#signal?.reason);

  #reset(reason: unknown): void {
    this.#break(reason);
    this.#socket.reset();
  }

  /** Both directions end here. */
  #break(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#opening?.reject(reason);
    this.#write?.reject(reason);
    if (!this.#isDiscarding) this.#in?.error(reason);
    this.#out?.error(reason);
    this.#opening = this.#write = this.#in = this.#out = null;
  }
}
