// The host's network as devices see it: stream sockets that listen and connect, and nothing more.
// NodeSockets in host/node is the real one; a simulation can take its place.

/** A TCP address. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** A socket of AF_UNIX in the file system. */
export interface UnixAddress {
  readonly path: string;
}

/** An address that a stream socket can be bound or connected to. */
export type SocketAddress = TcpAddress | UnixAddress;

/** A socket that listens already: another process has bound it, and handed it over. */
export interface InheritedSocket {
  readonly fd: number;
}

/** Where a listener may be. */
export type ListenAddress = SocketAddress | InheritedSocket;

/** For messages: host:port, or the path. */
export function addressText(address: ListenAddress): string {
  if ("fd" in address) return `descriptor ${address.fd}`;
  return "path" in address ? address.path : `${address.host}:${address.port}`;
}

/** Events of a socket. Never called from within a method of StreamSocket. */
export interface SocketEvents {
  /** connect() succeeded. */
  connected(): void;
  /**
   * Bytes arrived. They are the receiver's until it returns: what it needs later it copies. Not
   * called while paused.
   */
  data(chunk: Uint8Array): void;
  /** The peer will send no more: end of stream. */
  end(): void;
  /** The kernel has taken a send() that returned false: its bytes may change. */
  sent(): void;
  /** The connection broke, or could not be made. closed() follows. */
  failed(error: Error): void;
  /** The last event. The kernel touches no bytes of this socket any more. */
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

/** The buffers that a socket reads into. */
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
  /** The peer's address, without its port. Missing or "": not known, or it has none. */
  readonly peerAddress?: string;
  /** Bytes of the send in flight that the kernel has not taken. Missing: not known. */
  readonly unsent?: number;
  /**
   * Once the peer has ended: is it gone for good, so that it would not read either? Missing or
   * undefined: not known.
   */
  peerGone?(): boolean | undefined;
  /** No more sends: the peer reads end of stream after what was sent. */
  end(): void;
  /** Stops reading; the kernel holds back the peer. */
  pause(): void;
  /** Reads on after pause(). */
  resume(): void;
  /** Closes both directions. Bytes that the kernel has taken are still delivered. */
  close(): void;
  /** Closes both directions, and resets the connection if the protocol can. */
  reset(): void;
}

/** A bound address that accepts clients. */
export interface Listener {
  /** The address that was bound: a port is never 0. */
  readonly address: SocketAddress;
  /** Accepts no more clients. Removes the file of a path. */
  close(): void;
  /**
   * Accepts the clients that have connected by now, which close() would reset, for up to
   * `patienceMs`, and then no more. Missing: the host cannot tell.
   */
  finish?(patienceMs: number): Promise<void>;
}

/** Receives the clients of a listener. */
export interface Acceptor {
  /** A client has connected; the socket is the receiver's. */
  accepted(socket: StreamSocket): void;
  /** A client was lost before it became a socket, for instance because descriptors ran out. */
  refused(error: Error): void;
}

/** The stream sockets of a host: listening and connecting. */
export interface Sockets {
  /**
   * Rejects with the address and the reason in the message. The file of a path is replaced if it is
   * a socket that nobody listens on.
   */
  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener>;
  /** Clients of a socket that listens already. Rejects as listen(). Missing: there are none. */
  adopt?(socket: InheritedSocket, backlog: number, acceptor: Acceptor): Promise<Listener>;
  /** Never throws: failure arrives as an event. */
  connect(target: SocketAddress, events: SocketEvents): StreamSocket;
  /**
   * Bytes of each socket that the kernel holds because the peer has not acknowledged them; -1: not
   * known. Missing: not known of any.
   */
  unacknowledged?(sockets: readonly StreamSocket[]): Promise<readonly number[]>;
}
