// A stream socket by net.Socket, which any engine has. Node allocates a chunk for each read.
import type net from "node:net";
import type { SocketEvents, StreamSocket } from "../../ports/sockets.ts";
import { keyOf } from "./acknowledged.ts";
import { descriptorOf, handleOf, isBroken, readError } from "./undocumented.ts";

/** All sockets share their listeners, which find the stream here: no closures per connection. */
interface OwnedSocket extends net.Socket {
  stream: NetStream;
}

function onConnect(this: OwnedSocket): void {
  if (!this.destroyed) this.stream.events.connected();
}
function onData(this: OwnedSocket, chunk: Uint8Array): void {
  this.stream.events.data(chunk);
}
function onEnd(this: OwnedSocket): void {
  const error = readError(descriptorOf(handleOf(this)));
  if (error === null) this.stream.ended();
  else this.destroy(error);
}
function onError(this: OwnedSocket, error: Error): void {
  this.stream.events.failed(error);
}
function onClose(this: OwnedSocket): void {
  this.stream.events.closed();
}

function destroy(socket: net.Socket): void {
  socket.destroy();
}

/** A kernel remembers a closed connection for a minute, so the second probe finds out. */
export const KEEP_ALIVE_MS = 45_000;

export class NetStream implements StreamSocket {
  events: SocketEvents;
  readonly #tcp: boolean;
  readonly #socket: net.Socket;
  #sending = false;
  #key: string | null = null; // cached

  constructor(socket: net.Socket, events: SocketEvents, tcp: boolean) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.events = events;
    (socket as OwnedSocket).stream = this;
    socket.on("error", onError);
    socket.on("end", onEnd);
    socket.on("close", onClose);
    socket.on("data", onData);
    if (socket.connecting) socket.on("connect", onConnect);
  }

  readInto(): boolean {
    return false;
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
    const size = handleOf(this.#socket)?.writeQueueSize;
    return typeof size === "number" ? size : undefined;
  }

  get key(): string | null {
    const { localAddress, localPort = 0, remoteAddress, remotePort = 0 } = this.#socket;
    if (!this.#tcp || localAddress === undefined || remoteAddress === undefined) return null;
    this.#key ??= keyOf({ localAddress, localPort, remoteAddress, remotePort });
    return this.#key;
  }

  peerGone(): boolean | undefined {
    return isBroken(descriptorOf(handleOf(this.#socket)));
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

  // Node calls back a tick late for a write that the kernel took at once. The next send may be
  // under way by then, so the length decides.
  readonly #taken = (): void => {
    if (!this.#sending || this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#sending = false;
    this.events.sent();
  };
}
