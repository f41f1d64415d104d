// A stream socket over a MessagePort: the port is the connection. Messages are bytes, which are
// transferred, a number, which is credit, "end" and "reset". Ports have no back-pressure of their
// own, so each side sends no more than a window beyond what the other has consumed.
import { NOBODY, type SocketEvents, type StreamSocket } from "../ports/sockets.ts";

/** The most that one side sends without credit. A peer that sends more is reset. */
export const WINDOW_BYTES = 256 * 1024;
/** Charged for each message beside its bytes, for that is what it takes. */
export const MESSAGE_BYTES = 128;

const enum State {
  Open,
  /** Closed by its owner; the peer has not said that it will send no more. */
  Lingering,
  Closed,
}

/** One end of a connection. Its peer is not trusted: a message out of order resets it. */
export class PortSocket implements StreamSocket {
  events: SocketEvents;
  readonly #port: MessagePort;
  readonly #closed: (socket: PortSocket) => void;
  #state = State.Open as State;
  /** Sent, and not consumed by the peer, as far as it has said; message by message charged. */
  #inFlight = 0;
  #waiting: Uint8Array[] = []; // parts of a send that await credit
  #isFinished = false; // the owner sends no more
  #received: Uint8Array[] = []; // not read by the owner
  #held = 0; // charge of what the peer has not got back as credit
  #unreported = 0; // the part of it that is consumed
  #hasEnded = false; // the peer sends no more
  #isEndDelivered = false;
  #isPaused = false;
  #isServing = false; // a microtask is due

  /** Owns the port. `closed`: it has let the port go. */
  constructor(
    port: MessagePort,
    events: SocketEvents = NOBODY,
    closed: (socket: PortSocket) => void = () => {},
  ) {
    this.#port = port;
    this.events = events;
    this.#closed = closed;
    port.addEventListener("message", this.#onMessage);
    port.addEventListener("messageerror", this.#onNonsense);
    // Younger browsers tell when the other end has gone.
    port.addEventListener("close", this.#onPeerGone);
    port.start();
  }

  /** The end of a new connection that its owner has asked for: connected() follows. */
  static dial(
    port: MessagePort,
    events: SocketEvents,
    closed?: (socket: PortSocket) => void,
  ): PortSocket {
    const socket = new PortSocket(port, events, closed);
    queueMicrotask(() => {
      if (socket.#state === State.Open) socket.events.connected();
    });
    return socket;
  }

  /** Bytes land in buffers of the browser, so they are copied once. */
  readInto(): boolean {
    return false;
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== State.Open || this.#isFinished) return false;
    this.#waiting = parts.filter((part) => part.length > 0);
    this.#post();
    return this.#waiting.length === 0;
  }

  get unsent(): number {
    return lengthOf(this.#waiting);
  }

  peerGone(): boolean | undefined {
    return this.#state !== State.Open ? true : undefined;
  }

  end(): void {
    if (this.#isFinished || this.#state !== State.Open) return;
    this.#isFinished = true;
    if (this.#waiting.length > 0) return; // credit lets it go on
    this.#port.postMessage("end");
    this.#serveSoon();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#serveSoon();
  }

  /** As with TCP, with bytes unread or unsent it is a reset. */
  close(): void {
    if (this.#state !== State.Open) return;
    if (this.#waiting.length > 0 || this.#received.length > 0) {
      this.reset();
      return;
    }
    this.end();
    if (this.#hasEnded) this.#release();
    else this.#state = State.Lingering;
    this.#tellClosed();
  }

  reset(): void {
    if (this.#state === State.Closed) return;
    const wasOpen = this.#state === State.Open;
    this.#port.postMessage("reset");
    this.#release();
    if (wasOpen) this.#tellClosed();
  }

  /** The machine at the other end is gone, or its peer broke a rule. */
  breakOff(error: Error): void {
    if (this.#state === State.Closed) return;
    const wasOpen = this.#state === State.Open;
    this.#release();
    if (!wasOpen) return;
    this.events.failed(error);
    this.events.closed();
  }

  /** Is it closed, but for the peer's last word? */
  get isLingering(): boolean {
    return this.#state === State.Lingering;
  }

  // ---- messages of the peer

  readonly #onMessage = ({ data }: MessageEvent): void => {
    if (this.#state === State.Closed) return;
    if (data === "reset") this.breakOff(new Error("the peer reset the connection"));
    else if (data === "end" && !this.#hasEnded) this.#ended();
    else if (typeof data === "number") this.#credited(data);
    else if (isOwnBytes(data)) this.#arrived(data);
    else this.#onNonsense();
  };

  readonly #onNonsense = (): void => {
    if (this.#state === State.Closed) return;
    this.#port.postMessage("reset");
    this.breakOff(new Error("the peer broke the rules of the connection"));
  };

  /** If both have said their last word, there may still be bytes to read. */
  readonly #onPeerGone = (): void => {
    if (this.#hasEnded && this.#isFinished) return;
    this.breakOff(new Error("the peer is gone"));
  };

  #ended(): void {
    this.#hasEnded = true;
    if (this.#state === State.Lingering) this.#release();
    else this.#serve();
  }

  #credited(charge: number): void {
    if (!Number.isSafeInteger(charge) || charge <= 0 || charge > this.#inFlight) {
      this.#onNonsense();
      return;
    }
    this.#inFlight -= charge;
    if (this.#waiting.length === 0) return;
    this.#post();
    if (this.#waiting.length > 0) return;
    if (this.#isFinished) {
      this.#port.postMessage("end");
      this.#serveSoon();
    }
    this.events.sent();
  }

  #arrived(bytes: Uint8Array): void {
    const charge = bytes.length + MESSAGE_BYTES;
    if (this.#hasEnded || bytes.length === 0 || this.#held + charge > WINDOW_BYTES) {
      this.#onNonsense();
      return;
    }
    if (this.#state === State.Lingering) {
      this.reset(); // nobody reads them
      return;
    }
    this.#held += charge;
    this.#received.push(bytes);
    this.#serve();
  }

  // ---- events of the owner

  #serveSoon(): void {
    if (this.#isServing) return;
    this.#isServing = true;
    queueMicrotask(() => {
      this.#isServing = false;
      this.#serve();
    });
  }

  #serve(): void {
    while (this.#received.length > 0 && !this.#isPaused && this.#state === State.Open) {
      const bytes = this.#received.shift() as Uint8Array;
      this.events.data(bytes);
      this.#consumed(bytes.length + MESSAGE_BYTES);
    }
    if (this.#received.length > 0 || this.#isPaused || this.#state !== State.Open) return;
    if (this.#hasEnded && !this.#isEndDelivered) {
      this.#isEndDelivered = true;
      this.events.end();
    }
    if (!this.#isEndDelivered || !this.#isFinished || this.#waiting.length > 0) return;
    if (this.#state !== State.Open) return;
    this.#release();
    this.events.closed();
  }

  /** Credit goes back by half windows: a message for each chunk would be one more a request. */
  #consumed(charge: number): void {
    this.#unreported += charge;
    if (this.#state === State.Closed || this.#unreported < WINDOW_BYTES / 2) return;
    this.#held -= this.#unreported;
    this.#port.postMessage(this.#unreported);
    this.#unreported = 0;
  }

  /** Sends as much as there is credit for, in one message. */
  #post(): void {
    const room = WINDOW_BYTES - this.#inFlight - MESSAGE_BYTES;
    const bytes = new Uint8Array(Math.max(0, Math.min(room, lengthOf(this.#waiting))));
    if (bytes.length === 0) return;
    let at = 0;
    let taken = 0;
    while (at < bytes.length) {
      const part = this.#waiting[taken] as Uint8Array;
      const piece = part.subarray(0, bytes.length - at);
      bytes.set(piece, at); // out of the guest's memory, which cannot be transferred
      at += piece.length;
      if (piece.length === part.length) taken++;
      else this.#waiting[taken] = part.subarray(piece.length);
    }
    this.#waiting.splice(0, taken);
    this.#inFlight += bytes.length + MESSAGE_BYTES;
    this.#port.postMessage(bytes, [bytes.buffer]);
  }

  #tellClosed(): void {
    queueMicrotask(() => this.events.closed());
  }

  #release(): void {
    this.#state = State.Closed;
    this.#received = [];
    this.#waiting = [];
    this.#port.removeEventListener("message", this.#onMessage);
    this.#port.close();
    this.#closed(this);
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** Whole buffers that nobody else can change: a view of one byte could hold on to a gigabyte. */
function isOwnBytes(data: unknown): data is Uint8Array {
  return (
    data instanceof Uint8Array &&
    data.buffer instanceof ArrayBuffer &&
    data.buffer.byteLength === data.length
  );
}
