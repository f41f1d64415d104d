// The ends of connections, and which ports of the host belong to which side.

/** The two ends of a connection, as the guest sees them. */
export interface Route {
  /** CID of the host, or of another guest. */
  readonly peerCid: number;
  /** The peer's port. */
  readonly hostPort: number;
  readonly guestPort: number;
  /** VIRTIO_VSOCK_TYPE of all its packets. */
  readonly type: number;
}

/** A connection, as tables see it. */
export interface Routed {
  readonly route: Route;
}

/** Called once, when the guest has answered a REQUEST. */
export type Answered = (accepted: boolean) => void;

/** Host ports of connections that the host begins: the same range as Firecracker's. */
export const HOST_PORT_MIN = 2 ** 30;
export const HOST_PORT_END = 2 ** 31;

export function isHostPort(port: number): boolean {
  return port >= HOST_PORT_MIN && port < HOST_PORT_END;
}

/** May guests connect to this port of the host? */
export function isGuestTarget(port: number): boolean {
  return port >= 0 && port <= 0xfffffffe && !isHostPort(port);
}
