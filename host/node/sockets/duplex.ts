// A connection to a port of the guest, within this process, as Node's Duplex.
import { Duplex } from "node:stream";
import type { SocketEvents, StreamSocket } from "../../ports/sockets.ts";

type Callback = (error?: Error | null) => void;

/** Emits "connect" once the guest has accepted. Each direction ends by itself. */
export class SocketDuplex extends Duplex {
  readonly #socket: StreamSocket;
  #written: Callback | null = null; // of bytes that the guest's side has not taken
  #closed: (() => void) | null = null; // of destroy()
  #isConnected = false;
  #isPaused = false;
  #isOver = false;

  /** `dial` may throw. */
  constructor(dial: (events: SocketEvents) => StreamSocket, guestPort: number) {
    super({ allowHalfOpen: true });
    this.#socket = dial({
      connected: () => {
        this.#isConnected = true;
        this.emit("connect");
      },
      data: (chunk) => {
        if (this.push(chunk.slice())) return;
        this.#isPaused = true;
        this.#socket.pause();
      },
      end: () => void this.push(null),
      sent: () => this.#sent(null),
      failed: (cause) => {
        const what = this.#isConnected ? "closed" : "refused";
        const code = this.#isConnected ? "ECONNRESET" : "ECONNREFUSED";
        const error = new Error(`port ${guestPort} ${what} the connection`, { cause });
        this.#end(Object.assign(error, { code }));
      },
      closed: () => this.#end(null),
    });
  }

  /** @internal */
  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#send([chunk], callback);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], callback: Callback): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  /** @internal */
  override _final(callback: Callback): void {
    this.#socket.end();
    callback();
  }

  /** @internal */
  override _destroy(error: Error | null, callback: Callback): void {
    this.#sent(error);
    if (this.#isOver) {
      callback(error);
      return;
    }
    this.#closed = () => callback(error);
    // After both ends of stream there is nothing left to reset.
    if (this.readableEnded && this.writableFinished) this.#socket.close();
    else this.#socket.reset();
  }

  #send(parts: readonly Uint8Array[], callback: Callback): void {
    if (this.#socket.send(parts)) callback();
    else this.#written = callback;
  }

  #sent(error: Error | null): void {
    const written = this.#written;
    this.#written = null;
    written?.(error);
  }

  /** The socket is done. */
  #end(error: Error | null): void {
    if (!this.#isOver) {
      this.#isOver = true;
      if (error !== null) this.destroy(error);
    }
    this.#closed?.();
    this.#closed = null;
  }
}
