// The host's network as devices see it: stream sockets that listen and connect, and nothing more.
// NodeSockets in host/node is the real one; a simulation can take its place.

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** A socket of AF_UNIX in the file system. */
export interface UnixAddress {
  readonly path: string;
}

export type SocketAddress = TcpAddress | UnixAddress;

/** For messages: host:port, or the path. */
export function addressText(address: SocketAddress): string {
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}

/** What happens to a socket. Never called from inside a call of StreamSocket. */
export interface SocketEvents {
  /** connect() succeeded. */
  connected(): void;
  /** Bytes arrived. The chunk belongs to the receiver. Not called while paused. */
  data(chunk: Uint8Array): void;
  /** The peer will send no more; nothing is read any more. */
  end(): void;
  /** A send() that answered false is now with the kernel: its bytes may change. */
  sent(): void;
  /** The connection broke, or never came about. closed() follows. */
  failed(error: Error): void;
  /** Last event, after which the kernel touches no bytes of this socket any more. */
  closed(): void;
}

/** Events of a socket that nobody owns. */
export const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};

/** Where the bytes of a peer land that are read in place. */
export interface ReadSource {
  /**
   * The buffer that the next read fills, never empty. The kernel writes to it in the moment before
   * filled() alone, so that several sources may name the same one; until end() or closed() that may
   * be at any time, also while the socket is paused. Asked for at once by readInto(), and after
   * every filled().
   */
  buffer(): Uint8Array;
  /** `length` bytes, at least one, are at the front of the last buffer. May pause the socket. */
  filled(length: number): void;
}

/** One connected stream; half-open allowed, no Nagle delay. Reading starts at once. */
export interface StreamSocket {
  events: SocketEvents;
  /**
   * From now on bytes of the peer land in buffers of `source`, and data() is not called any more.
   * False: nothing has changed, for this host cannot do it, or the socket has work under way.
   */
  readInto(source: ReadSource): boolean;
  /**
   * Sends the parts in order, as one system call where possible. True: the kernel has taken them.
   * False: they must not change before events.sent(), and no other send may begin.
   */
  send(parts: readonly Uint8Array[]): boolean;
  /** Bytes of the send in flight that the kernel has not taken; without it nobody knows. */
  readonly unsent?: number;
  /**
   * Once the peer has ended: is it gone for good, and would not read either? Without it, or when
   * undefined, nobody knows.
   */
  peerGone?(): boolean | undefined;
  /** No more sends: the peer reads end of stream behind what was sent. */
  end(): void;
  pause(): void;
  resume(): void;
  /** Closes both ways. What the kernel has taken is still delivered. */
  close(): void;
  /** Closes both ways and tells the peer that the connection broke, where that can be told. */
  reset(): void;
}

export interface Listener {
  /** The address that was bound: a port is never 0. */
  readonly address: SocketAddress;
  /** Takes no more clients; the file of a path is gone. */
  close(): void;
}

export interface Acceptor {
  accepted(socket: StreamSocket): void;
  /** A client was lost before it became a socket, as for want of file descriptors. */
  refused(error: Error): void;
}

export interface Sockets {
  /**
   * Rejects with the address and the reason in the message. The file of a path is replaced if it
   * is a socket on which nobody listens.
   */
  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener>;
  /** Never throws: failure arrives as an event. */
  connect(target: SocketAddress, events: SocketEvents): StreamSocket;
  /**
   * How many bytes of each socket the kernel holds that the peer's has not acknowledged; -1: that
   * cannot be told. Without it of none.
   */
  unacknowledged?(sockets: readonly StreamSocket[]): Promise<readonly number[]>;
}
