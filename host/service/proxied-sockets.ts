// Sockets whose clients come through a proxy that says who they are: the header is read and checked
// here, and what follows it is the client's. Without a header nobody is let in, or a client could
// say who it is itself.
import {
  type Acceptor,
  type InheritedSocket,
  type Listener,
  NOBODY,
  type ReadSource,
  type SocketAddress,
  type SocketEvents,
  type Sockets,
  type StreamSocket,
} from "../ports/sockets.ts";
import { parseProxyHeader } from "./proxy-header.ts";

/** For all of the header. */
const PATIENCE_MS = 5000;
/** Clients whose header has not come; more are reset. */
const WAITING_MAX = 1024;

export interface ProxiedOptions {
  /** May this address say who its clients are? */
  readonly isTrusted: (address: string) => boolean;
  /** One-shot timer; returns what cancels it. */
  readonly after: (ms: number, callback: () => void) => () => void;
}

export class ProxiedSockets implements Sockets {
  readonly #sockets: Sockets;
  readonly #options: ProxiedOptions;
  #waiting = 0;
  readonly unacknowledged?: (sockets: readonly StreamSocket[]) => Promise<readonly number[]>;

  constructor(sockets: Sockets, options: ProxiedOptions) {
    this.#sockets = sockets;
    this.#options = options;
    const inner = (one: StreamSocket) => (one instanceof ProxiedSocket ? one.inner : one);
    if (sockets.unacknowledged !== undefined) {
      const ask = sockets.unacknowledged.bind(sockets);
      this.unacknowledged = (all) => ask(all.map(inner));
    }
  }

  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    return this.#sockets.listen(address, backlog, this.#checked(acceptor));
  }

  adopt(socket: InheritedSocket, backlog: number, acceptor: Acceptor): Promise<Listener> {
    const { adopt } = this.#sockets;
    if (adopt === undefined) throw new Error("this host has no sockets that others have bound");
    return adopt.call(this.#sockets, socket, backlog, this.#checked(acceptor));
  }

  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    return this.#sockets.connect(target, events);
  }

  #checked(acceptor: Acceptor): Acceptor {
    const refused = (error: Error) => acceptor.refused(error);
    return { accepted: (socket) => this.#await(socket, acceptor), refused };
  }

  /** Reads the header, and hands the socket on. */
  #await(socket: StreamSocket, acceptor: Acceptor): void {
    const { isTrusted, after } = this.#options;
    const proxy = socket.peerAddress ?? "";
    if (!isTrusted(proxy) || this.#waiting >= WAITING_MAX) {
      socket.reset();
      acceptor.refused(new Error(`no proxy of ours: ${proxy}`));
      return;
    }
    let come = new Uint8Array(0);
    const done = () => {
      this.#waiting--;
      cancel();
      socket.events = NOBODY;
    };
    const refuse = (why: string) => {
      done();
      socket.reset();
      acceptor.refused(new Error(`PROXY header: ${why}`));
    };
    const cancel = after(PATIENCE_MS, () => refuse("it has not come in time"));
    this.#waiting++;
    socket.events = {
      ...NOBODY,
      data: (chunk) => {
        const joined = new Uint8Array(come.length + chunk.length);
        joined.set(come);
        joined.set(chunk, come.length);
        come = joined;
        const header = parseProxyHeader(come);
        if (header === "incomplete") return;
        if (header === "invalid") {
          refuse("it is none");
          return;
        }
        done();
        const client = new ProxiedSocket(socket, header.address ?? proxy);
        acceptor.accepted(client);
        client.begin(come.subarray(header.bytes));
      },
      end: () => refuse("the proxy has ended before"),
      failed: () => {},
      closed: done,
    };
  }
}

/** A socket with the address of the client that a proxy speaks for. */
class ProxiedSocket implements StreamSocket {
  readonly inner: StreamSocket;
  readonly peerAddress: string;
  #rest: Uint8Array | null = null; // came with the header, while its owner did not read
  #isPaused = false;

  constructor(inner: StreamSocket, peerAddress: string) {
    this.inner = inner;
    this.peerAddress = peerAddress;
  }

  /** Its owner has it: bytes that came with the header are the client's first. */
  begin(rest: Uint8Array): void {
    if (rest.length === 0) return;
    if (this.#isPaused) this.#rest = rest;
    else this.events.data(rest);
  }

  get events(): SocketEvents {
    return this.inner.events;
  }

  set events(events: SocketEvents) {
    this.inner.events = events;
  }

  get unsent(): number | undefined {
    return this.inner.unsent;
  }

  readInto(source: ReadSource): boolean {
    return this.#rest === null && this.inner.readInto(source);
  }

  send(parts: readonly Uint8Array[]): boolean {
    return this.inner.send(parts);
  }

  peerGone(): boolean | undefined {
    return this.inner.peerGone?.();
  }

  end(): void {
    this.inner.end();
  }

  pause(): void {
    this.#isPaused = true;
    this.inner.pause();
  }

  /** Bytes that wait go first; their owner may stop reading again. */
  resume(): void {
    this.#isPaused = false;
    const rest = this.#rest;
    this.#rest = null;
    if (rest === null) this.inner.resume();
    else queueMicrotask(() => this.#deliver(rest));
  }

  close(): void {
    this.#rest = null;
    this.inner.close();
  }

  reset(): void {
    this.#rest = null;
    this.inner.reset();
  }

  #deliver(rest: Uint8Array): void {
    this.events.data(rest);
    if (!this.#isPaused) this.inner.resume();
  }
}
