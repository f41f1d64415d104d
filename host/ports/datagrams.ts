// Datagrams of the host's network as devices see them. NodeDatagrams in host/node is the real one;
// a simulation can take its place.
import type { TcpAddress } from "./sockets.ts";

/** Events of a datagram socket. Never called from within one of its methods. */
export interface DatagramEvents {
  /** A datagram of the target. It is the receiver's until it returns. */
  received(bytes: Uint8Array): void;
  /** The socket is of no use: the target refuses, or there are no descriptors. No event follows. */
  failed(error: Error): void;
}

/** A socket that sends to one target, and hears of it alone. */
export interface DatagramSocket {
  /** Copies the datagram. False: it is lost, for too many wait for the kernel. */
  send(bytes: Uint8Array): boolean;
  /** No event follows. */
  close(): void;
}

/** The datagram sockets of a host. */
export interface Datagrams {
  /** The target's host is an address, not a name. Never throws: failure arrives as an event. */
  connect(target: TcpAddress, events: DatagramEvents): DatagramSocket;
}
