// Stream sockets of which the test is the kernel and the peer. Nothing happens by itself: the test
// delivers what the peer wrote, takes what the device sends, and tells it when a socket is closed.
import type {
  Acceptor,
  Listener,
  ReadSource,
  SocketAddress,
  SocketEvents,
  Sockets,
  StreamSocket,
} from "../../host/ports/sockets.ts";
import { InPlaceReader } from "./in-place-reader.ts";

/** The most that a read of Node returns. */
const READ_BYTES_MAX = 65536;

const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};

export class SimulatedSocket implements StreamSocket {
  events: SocketEvents;
  /** Does the kernel take a send at once? */
  takes: () => boolean = () => true;
  /** Bytes that the peer has received, in pieces. */
  readonly received: Buffer[] = [];
  receivedBytes = 0;
  /** The device closed its sending side, or all; the peer finds the end after the data. */
  ended = false;
  /** The device reset the connection. */
  broken = false;
  /** Nothing more happens on this socket. */
  gone = false;
  /** Bytes of the peer that the device has not read. */
  readonly unread: Buffer[] = [];
  #reader: InPlaceReader | null = null;
  #paused = false;
  #left = false; // the device closed or reset it
  #finished = false; // the peer will write no more
  #finishTold = false;
  #flight: { views: readonly Uint8Array[]; copy: Buffer } | null = null;

  constructor(events: SocketEvents = NOBODY) {
    this.events = events;
  }

  // ---- for the device

  readInto(source: ReadSource): boolean {
    if (this.#flight !== null || this.ended) return false;
    this.#reader = new InPlaceReader(source);
    return true;
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#flight !== null) throw new Error("a second send began while one was in flight");
    if (this.ended || this.#left || this.gone) throw new Error("a send began after the end");
    const copy = Buffer.concat(parts);
    if (this.takes()) {
      this.#arrive(copy);
      return true;
    }
    this.#flight = { views: [...parts], copy };
    return false;
  }

  end(): void {
    this.ended = true;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  close(): void {
    this.#left = true;
    this.ended = true;
  }

  reset(): void {
    this.#left = true;
    this.broken = true;
  }

  // ---- for the test: the peer

  write(bytes: Uint8Array): void {
    if (bytes.length > 0) this.unread.push(Buffer.from(bytes));
  }

  /** The peer will write no more. */
  finish(): void {
    this.#finished = true;
  }

  /** The peer resets the connection. */
  fail(): void {
    if (this.gone) return;
    this.gone = true;
    this.#flight = null;
    this.events.failed(new Error("ECONNRESET"));
    this.events.closed();
  }

  // ---- for the test: the kernel

  get sending(): boolean {
    return this.#flight !== null;
  }

  /** Would the device read? */
  get readable(): boolean {
    if (this.gone || this.#left || this.#paused || this.#finishTold) return false;
    return this.unread.length > 0 || this.#finished;
  }

  /**
   * Lets the device read once: bytes or, after them, the end. Like a kernel, it fills the read.
   */
  deliver(): number {
    if (!this.readable) return 0;
    if (this.unread.length === 0) {
      this.#finishTold = true;
      this.events.end();
      return 0;
    }
    const reader = this.#reader;
    const chunk = this.#read(reader?.armed.length ?? READ_BYTES_MAX);
    if (reader === null) this.events.data(chunk);
    else reader.read(chunk);
    return chunk.length;
  }

  /** Takes the send in flight. Its bytes must be what they were when it began. */
  take(): number {
    const flight = this.#flight;
    if (flight === null || this.gone || this.#left) return 0;
    if (!Buffer.concat(flight.views).equals(flight.copy)) {
      throw new Error("the bytes of a send changed before the kernel had taken them");
    }
    this.#flight = null;
    this.#arrive(flight.copy);
    this.events.sent();
    return flight.copy.length;
  }

  /** Is closed() due? */
  get closing(): boolean {
    if (this.gone) return false;
    return this.#left || (this.ended && this.#finishTold && this.#flight === null);
  }

  tellClosed(): void {
    if (!this.closing) return;
    this.gone = true;
    this.#flight = null;
    this.events.closed();
  }

  /** Everything that is due, until nothing is; returns the number of things. */
  settle(): number {
    let done = 0;
    for (let before = -1; before !== done; ) {
      before = done;
      if (this.readable) {
        this.deliver();
        done++;
      }
      if (this.sending && this.takes() && this.take() > 0) done++;
      if (this.closing) {
        this.tellClosed();
        done++;
      }
    }
    return done;
  }

  #read(bytesMax: number): Buffer {
    const pieces: Buffer[] = [];
    for (let room = bytesMax; room > 0 && this.unread.length > 0; ) {
      const first = this.unread.shift() as Buffer;
      const piece = first.subarray(0, room);
      if (piece.length < first.length) this.unread.unshift(first.subarray(piece.length));
      pieces.push(piece);
      room -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  #arrive(bytes: Buffer): void {
    this.received.push(bytes);
    this.receivedBytes += bytes.length;
  }
}

/** A network that consists of the test. */
export class SimulatedNetwork implements Sockets {
  readonly connects: { target: SocketAddress; socket: SimulatedSocket }[] = [];
  #acceptor: Acceptor | null = null;

  listen(address: SocketAddress, _backlog: number, acceptor: Acceptor): Promise<Listener> {
    this.#acceptor = acceptor;
    return Promise.resolve({ address, close: () => {} });
  }

  connect(target: SocketAddress, events: SocketEvents): SimulatedSocket {
    const socket = new SimulatedSocket(events);
    this.connects.push({ target, socket });
    return socket;
  }

  /** A client connects to the published port. */
  client(takes: () => boolean = () => true): SimulatedSocket {
    if (this.#acceptor === null) throw new Error("nothing is published");
    const socket = new SimulatedSocket();
    socket.takes = takes;
    this.#acceptor.accepted(socket);
    return socket;
  }
}
