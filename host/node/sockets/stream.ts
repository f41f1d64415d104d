// A stream socket of Node. It begins with chunks that Node allocates, and may switch to reading in
// place, by another Node socket that takes over the connection.
import type net from "node:net";
import type { ReadSource, SocketEvents, StreamSocket } from "../../ports/sockets.ts";
import { keyOf } from "./acknowledged.ts";
import { isBroken, readError, rewrap, writeQueueSize } from "./rewrap.ts";

/** All sockets share their listeners, which find the stream here: no closures per connection. */
interface OwnedSocket extends net.Socket {
  stream: NodeStream;
}

function onConnect(this: OwnedSocket): void {
  if (!this.destroyed) this.stream.events.connected();
}
function onData(this: OwnedSocket, chunk: Uint8Array): void {
  this.stream.events.data(chunk);
}
function onEnd(this: OwnedSocket): void {
  const error = readError(this);
  if (error === null) this.stream.ended();
  else this.destroy(error);
}
function onError(this: OwnedSocket, error: Error): void {
  this.stream.events.failed(error);
}
function onClose(this: OwnedSocket): void {
  this.stream.closed();
}

function destroy(socket: net.Socket): void {
  socket.destroy();
}

/** A kernel remembers a closed connection for a minute, so the second probe finds out. */
const KEEP_ALIVE_MS = 45_000;

export class NodeStream implements StreamSocket {
  events: SocketEvents;
  readonly #canRewrap: (socket: net.Socket) => boolean;
  readonly #tcp: boolean;
  #socket: net.Socket;
  #first: net.Socket | null = null; // the one that #socket took the connection from
  #sending = false;
  #key: string | null = null; // cached

  constructor(
    socket: net.Socket,
    events: SocketEvents,
    tcp: boolean,
    canRewrap: (socket: net.Socket) => boolean,
  ) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.#canRewrap = canRewrap;
    this.events = events;
    this.#listen(socket);
    socket.on("data", onData);
    if (socket.connecting) socket.on("connect", onConnect);
  }

  readInto(source: ReadSource): boolean {
    const first = this.#socket;
    if (this.#first !== null || !this.#canRewrap(first)) return false;
    first.removeListener("error", onError);
    first.removeListener("end", onEnd);
    first.removeListener("close", onClose);
    first.removeListener("data", onData);
    this.#first = first;
    this.#socket = rewrap(first, {
      buffer: () => source.buffer(),
      callback: (length) => {
        source.filled(length);
        return true;
      },
    });
    this.#listen(this.#socket);
    return true;
  }

  send(parts: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    const last = parts.length - 1;
    if (last > 0) socket.cork();
    for (let i = 0; i < last; i++) socket.write(parts[i] as Uint8Array);
    socket.write(parts[last] as Uint8Array, this.#taken);
    if (last > 0) socket.uncork();
    this.#sending = socket.writableLength > 0;
    return !this.#sending;
  }

  get peerAddress(): string {
    return this.#socket.remoteAddress ?? "";
  }

  get unsent(): number | undefined {
    return writeQueueSize(this.#socket);
  }

  /** Its key in the kernel's table of connections; null: not TCP. */
  get key(): string | null {
    const { localAddress, localPort = 0, remoteAddress, remotePort = 0 } = this.#socket;
    if (!this.#tcp || localAddress === undefined || remoteAddress === undefined) return null;
    this.#key ??= keyOf({ localAddress, localPort, remoteAddress, remotePort });
    return this.#key;
  }

  peerGone(): boolean | undefined {
    return isBroken(this.#socket);
  }

  end(): void {
    this.#socket.end();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    // Before anything else is read, but after callbacks of writes in this turn: for a destroyed
    // socket Node would create an Error, stack and all, that would be wasted.
    process.nextTick(destroy, this.#socket);
  }

  reset(): void {
    const socket = this.#socket;
    // AF_UNIX has no reset. While a shutdown is on its way to the kernel libuv refuses to reset,
    // and Node would never close the socket; the kernel has all bytes then.
    const isEnding = socket.writableEnded && !socket.writableFinished;
    const refused = isEnding && socket.writableLength === 0;
    if (!this.#tcp || refused || socket.connecting || socket.destroyed) socket.destroy();
    else socket.resetAndDestroy();
  }

  /** A TCP peer that is gone for good answers probes with RST, which makes peerGone() true. */
  ended(): void {
    if (this.#tcp) this.#socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.events.end();
  }

  /** Destroys the first socket as well, which the server still counts. */
  closed(): void {
    this.#first?.destroy();
    this.events.closed();
  }

  #listen(socket: net.Socket): void {
    (socket as OwnedSocket).stream = this;
    socket.on("error", onError);
    socket.on("end", onEnd);
    socket.on("close", onClose);
  }

  // Node calls back a tick late for a write that the kernel took at once. The next send may be
  // under way by then, so the length decides.
  readonly #taken = (): void => {
    if (!this.#sending || this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#sending = false;
    this.events.sent();
  };
}
