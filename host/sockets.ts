// The host's network as devices see it: listening and connecting stream sockets, and nothing more,
// so that a simulation can stand in for it. NodeSockets is the real one.
import net from "node:net";

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** What happens to a socket. Never called from inside a call of StreamSocket. */
export interface SocketEvents {
  /** connect() succeeded. */
  connected(): void;
  /** Bytes arrived. The chunk belongs to the receiver. Not called while paused. */
  data(chunk: Uint8Array): void;
  /** The peer will send no more. */
  end(): void;
  /** A send() that answered false is now with the kernel: its bytes may change. */
  sent(): void;
  /** The connection broke, or never came about. closed() follows. */
  failed(error: Error): void;
  /** Last event, after which the kernel touches no bytes of this socket any more. */
  closed(): void;
}

/** One connected stream; half-open allowed, no Nagle delay. Reading starts at once. */
export interface StreamSocket {
  events: SocketEvents;
  /**
   * Sends the parts in order, as one system call where possible. True: the kernel has taken them.
   * False: they must not change before events.sent(), and no other send may begin.
   */
  send(parts: readonly Uint8Array[]): boolean;
  /** No more sends: the peer reads end of stream behind what was sent. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Closes both ways. What the kernel has taken is still delivered. */
  close(): void;
  /** Closes both ways and tells the peer that the connection broke. */
  reset(): void;
}

export interface Listener {
  /** The address that was bound: its port is never 0. */
  readonly address: SocketAddress;
  close(): void;
}

export interface Acceptor {
  accepted(socket: StreamSocket): void;
  /** A client was lost before it became a socket, as for want of file descriptors. */
  refused(error: Error): void;
}

export interface Sockets {
  /** Rejects with the address and the reason in the message. */
  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener>;
  /** Never throws: failure arrives as an event. */
  connect(target: SocketAddress, events: SocketEvents): StreamSocket;
}

const BIND_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "no such address on this host",
  ENOTFOUND: "unknown host name",
};

/** Listeners are shared by all sockets and find their stream here: no closure per connection. */
interface OwnedSocket extends net.Socket {
  stream: NodeStream;
}

function onConnect(this: OwnedSocket): void {
  this.stream.events.connected();
}
function onData(this: OwnedSocket, chunk: Uint8Array): void {
  this.stream.events.data(chunk);
}
function onEnd(this: OwnedSocket): void {
  this.stream.events.end();
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

class NodeStream implements StreamSocket {
  events: SocketEvents;
  readonly #socket: net.Socket;
  #sending = false;

  constructor(socket: net.Socket, events: SocketEvents) {
    this.#socket = socket;
    this.events = events;
    (socket as OwnedSocket).stream = this;
    socket.on("error", onError);
    socket.on("end", onEnd);
    socket.on("close", onClose);
    socket.on("data", onData);
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
    // Behind the callback of a write in this turn: over a destroyed socket Node would make an
    // Error, stack and all, for nobody.
    process.nextTick(destroy, this.#socket);
  }

  reset(): void {
    const socket = this.#socket;
    if (socket.connecting || socket.destroyed) socket.destroy();
    else socket.resetAndDestroy();
  }

  // Node calls back a tick late for a write that the kernel took at once; by then the next send may
  // be under way, which is why the length decides.
  readonly #taken = (): void => {
    if (!this.#sending || this.#socket.writableLength > 0 || this.#socket.destroyed) return;
    this.#sending = false;
    this.events.sent();
  };
}

/** Before a device adopts an accepted socket, which it does in the same turn. */
const UNOWNED: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};

export class NodeSockets implements Sockets {
  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
      acceptor.accepted(new NodeStream(socket, UNOWNED)),
    );
    return new Promise((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const reason = BIND_FAULTS[error.code ?? ""] ?? error.message;
        const where = `${address.host}:${address.port}`;
        reject(new Error(`cannot listen on ${where}: ${reason}`, { cause: error }));
      });
      server.listen({ host: address.host, port: address.port, backlog }, () => {
        server.removeAllListeners("error");
        server.on("error", (error) => acceptor.refused(error));
        const { address: host, port } = server.address() as net.AddressInfo;
        resolve({ address: { host, port }, close: () => void server.close() });
      });
    });
  }

  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    const socket = net.connect({
      host: target.host,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
    });
    socket.on("connect", onConnect);
    return new NodeStream(socket, events);
  }
}
