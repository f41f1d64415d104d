// A network at the other end of a byte stream: frames, each after its length, over AF_UNIX or TCP.
// There is qemu (-netdev stream), passt, gvproxy, socket_vmnet, or another torito. It has one card.
//
// The format knows no offloads: frames are complete. To the guest none is lost here: while it has
// posted no buffers nothing is read, and the other end decides what becomes of frames that its
// socket does not hold. Those of the guest are dropped rather than kept without a bound. A stream
// with an impossible length is beyond repair, and ends.
import {
  addressText,
  type Listener,
  NOBODY,
  type SocketAddress,
  type SocketEvents,
  type Sockets,
  type StreamSocket,
} from "../../ports/sockets.ts";
import type { Frame, WholeFrame } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { Card, Network, Port } from "./network.ts";

/** One at a time; a further client is closed at once. */
const BACKLOG = 1;
/** Bytes of one read. */
const STAGE_BYTES = 256 * 1024;

export interface StreamNetworkOptions {
  readonly sockets: Sockets;
  /** Where the other end listens, or where it will connect. */
  readonly address: SocketAddress;
  /** Wait for the other end, instead of connecting to it? Default: false. */
  readonly listen?: boolean;
  /** The stream has ended, for this reason. */
  readonly ended?: (reason: string) => void;
}

/** Counters of a stream. */
export interface StreamNetworkStats {
  framesSent: number;
  framesReceived: number;
  /** Times that reading stopped because the guest had posted no buffers. */
  held: number;
  /** To the other end, which does not read, or is not there. */
  dropped: number;
  /** Clients that came while there was one. */
  refused: number;
}

export class StreamNetwork implements Network {
  readonly stats: StreamNetworkStats = {
    framesSent: 0,
    framesReceived: 0,
    held: 0,
    dropped: 0,
    refused: 0,
  };
  readonly #options: StreamNetworkOptions;
  readonly #parser = new FrameParser((frame) => this.#receive(frame));
  #listener: Listener | null = null;
  #socket: StreamSocket | null = null;
  #writer: FrameWriter | null = null;
  #card: Card | null = null;
  #stage: Uint8Array | null = null;
  /** Bytes left of the last read, while the guest has posted no buffers; null: it reads. */
  #held: Uint8Array | null = null;
  #isClosed = false;

  /**
   * Resolves when the other end is reached, or can reach this one. Rejects with the address and the
   * reason.
   */
  static async open(options: StreamNetworkOptions): Promise<StreamNetwork> {
    const network = new StreamNetwork(options);
    if (options.listen === true) await network.#listen();
    else await network.#connect();
    return network;
  }

  protected constructor(options: StreamNetworkOptions) {
    this.#options = options;
  }

  /** Where it listens: a port is never 0. null: it connected. */
  get address(): SocketAddress | null {
    return this.#listener?.address ?? null;
  }

  /** Is there another end? */
  get isConnected(): boolean {
    return this.#socket !== null;
  }

  /** Ends the stream, and listens no more. The card's link is down from then on. */
  close(): void {
    this.#isClosed = true;
    this.#listener?.close();
    const socket = this.#socket;
    this.#gone(null);
    socket?.close();
  }

  join(card: Card): Port {
    if (this.#card !== null) throw new Error("net: a stream has one card");
    this.#card = card;
    const isConnected = () => this.isConnected;
    return {
      get hasLink() {
        return isConnected();
      },
      send: (frame) => this.#send(frame),
      flush: () => this.#writer?.flush(),
      posted: () => this.#goOn(),
      forget: () => this.#goOn(), // without a driver frames are dropped
      leave: () => this.close(),
    };
  }

  async #listen(): Promise<void> {
    const { sockets, address } = this.#options;
    this.#listener = await sockets.listen(address, BACKLOG, {
      accepted: (socket) => this.#accepted(socket),
      refused: () => void this.stats.refused++,
    });
  }

  #accepted(socket: StreamSocket): void {
    if (this.#socket === null && !this.#isClosed) {
      socket.events = this.#events(socket);
      this.#begin(socket);
      return;
    }
    this.stats.refused++;
    socket.events = NOBODY;
    socket.close();
  }

  #connect(): Promise<void> {
    const { sockets, address } = this.#options;
    return new Promise((resolve, reject) => {
      const socket = sockets.connect(address, {
        ...NOBODY,
        connected: () => {
          socket.events = this.#events(socket);
          this.#begin(socket);
          resolve();
        },
        failed: (error) => reject(new Error(`net: ${addressText(address)}: ${error.message}`)),
      });
    });
  }

  #begin(socket: StreamSocket): void {
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
    this.#parser.reset();
    this.#held = null;
    socket.readInto({
      buffer: () => (this.#stage ??= new Uint8Array(STAGE_BYTES)),
      filled: (length) => this.#feed(socket, (this.#stage as Uint8Array).subarray(0, length)),
    });
    this.#card?.linkChanged();
  }

  #events(socket: StreamSocket): SocketEvents {
    let reason = "the other end has closed it";
    return {
      ...NOBODY,
      data: (chunk) => this.#feed(socket, chunk),
      end: () => socket.close(),
      sent: () => this.#writer?.sent(),
      failed: (error) => {
        reason = error.message;
      },
      closed: () => {
        if (this.#socket === socket) this.#gone(reason);
      },
    };
  }

  #feed(socket: StreamSocket, bytes: Uint8Array): void {
    if (this.#socket !== socket) return;
    const rest = this.#parse(socket, bytes);
    if (rest === null || !this.#isFull) return;
    socket.pause();
    this.stats.held++;
    this.#held = rest.slice();
  }

  /** The guest has posted buffers, or has no driver any more, and then frames are dropped. */
  #goOn(): void {
    const socket = this.#socket;
    if (socket === null || this.#held === null || this.#isFull) return;
    this.#held = this.#parse(socket, this.#held);
    if (this.#held === null || this.#isFull) return;
    this.#held = null;
    socket.resume();
  }

  get #isFull(): boolean {
    return this.#card?.isFull === true;
  }

  /** Returns what is left for later. null: the stream is over. */
  #parse(socket: StreamSocket, bytes: Uint8Array): Uint8Array | null {
    const rest = this.#parser.feed(bytes);
    this.#card?.settle();
    if (rest !== null) return rest;
    this.#gone("it is no stream of frames");
    socket.close();
    return null;
  }

  /** null: on purpose. */
  #gone(reason: string | null): void {
    if (this.#socket === null) return;
    this.#socket = null;
    this.#writer = null;
    this.#card?.linkChanged();
    if (reason !== null) this.#options.ended?.(reason);
  }

  /** Port.send() */
  #send(frame: Frame): void {
    if (this.#writer?.add(frame) === true) this.stats.framesSent++;
    else this.stats.dropped++;
  }

  /** Returns whether the card takes another frame now. */
  #receive(frame: WholeFrame): boolean {
    this.stats.framesReceived++;
    this.#card?.deliver(frame);
    return !this.#isFull;
  }
}
