// One stream socket of Node. It begins with chunks that Node allocates, and may go over to reading
// in place, on another socket of Node that owns the same connection.
import type net from "node:net";
import type { ReadSource, SocketEvents, StreamSocket } from "../../ports/sockets.ts";
import { keyOf } from "./acknowledged.ts";
import { isBroken, readError, rewrap, writeQueueSize } from "./rewrap.ts";

/** Listeners are shared by all sockets and find their stream here: no closure per connection. */
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

/** Its kernel remembers one that has closed for a minute: the second probe finds out. */
const KEEP_ALIVE_MS = 45_000;

export class NodeStream implements StreamSocket {
  events: SocketEvents;
  readonly #canRewrap: (socket: net.Socket) => boolean;
  readonly #tcp: boolean;
  #socket: net.Socket;
  #first: net.Socket | null = null; // which #socket took the connection from
  #sending = false;
  #key: string | null = null; // once it was asked for

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

  get unsent(): number | undefined {
    return writeQueueSize(this.#socket);
  }

  /** Its place in the kernel's table of connections; null: it is none of TCP. */
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
    // Before anything is read again, but behind the callback of a write in this turn: over a
    // destroyed socket Node would make an Error, stack and all, for nobody.
    process.nextTick(destroy, this.#socket);
  }

  reset(): void {
    const socket = this.#socket;
    // AF_UNIX knows no reset. While the end of sending is on its way to the kernel, which has all
    // bytes then, libuv refuses it, and Node would never close the socket.
    const isEnding = socket.writableEnded && !socket.writableFinished;
    const refused = isEnding && socket.writableLength === 0;
    if (!this.#tcp || refused || socket.connecting || socket.destroyed) socket.destroy();
    else socket.resetAndDestroy();
  }

  /** A TCP peer that is gone for good answers probes by RST, and then peerGone() is true. */
  ended(): void {
    if (this.#tcp) this.#socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.events.end();
  }

  /** The connection is no more: its first socket is what a server counts. */
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

  // Node calls back a tick late for a write that the kernel took at once; by then the next send may
  // be under way, which is why the length decides.
  readonly #taken = (): void => {
    if (!this.#sending || this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#sending = false;
    this.events.sent();
  };
}
