// Connections by who talks to whom: CID of the peer, and pair of ports.
import { VMADDR_CID_HOST } from "../../../../abi/vsock.ts";
import { HOST_PORT_END, HOST_PORT_MIN, isGuestTarget, isHostPort, type Route } from "./route.ts";

/** A connection, as the table sees it. */
export interface Routed {
  readonly route: Route;
}

/** Connections with one peer, by its port and then by the guest's. */
class Pairs<C extends Routed> {
  readonly #ports = new Map<number, Map<number, C>>();

  get empty(): boolean {
    return this.#ports.size === 0;
  }

  find(peerPort: number, guestPort: number): C | undefined {
    return this.#ports.get(peerPort)?.get(guestPort);
  }

  add(connection: C): void {
    const { hostPort, guestPort } = connection.route;
    const others = this.#ports.get(hostPort) ?? new Map<number, C>();
    this.#ports.set(hostPort, others.set(guestPort, connection));
  }

  remove({ route: { hostPort, guestPort } }: C): void {
    const others = this.#ports.get(hostPort);
    others?.delete(guestPort);
    if (others?.size === 0) this.#ports.delete(hostPort);
  }
}

export class Table<C extends Routed> {
  /** Every connection that the guest knows or that has an open socket. */
  readonly all = new Set<C>();
  readonly #begunByHost = new Map<number, C>(); // by host port
  readonly #begunByGuest = new Pairs<C>();
  readonly #otherGuests = new Map<number, Pairs<C>>(); // by CID; begun by either side
  #nextPort = HOST_PORT_MIN;

  /** Throws if guests may not connect to one of the mapped ports. */
  constructor(mapped: Iterable<number>) {
    for (const port of mapped) {
      if (!Number.isInteger(port) || !isGuestTarget(port)) {
        throw new Error(`vsock: guests cannot connect to host port ${port}: out of range`);
      }
    }
  }

  /** A port that no live connection has. There are more ports than connections. */
  allocatePort(): number {
    let port: number;
    do {
      port = this.#nextPort;
      this.#nextPort = port + 1 === HOST_PORT_END ? HOST_PORT_MIN : port + 1;
    } while (this.#begunByHost.has(port));
    return port;
  }

  find(peerCid: number, hostPort: number, guestPort: number): C | undefined {
    if (peerCid !== VMADDR_CID_HOST) {
      return this.#otherGuests.get(peerCid)?.find(hostPort, guestPort);
    }
    if (!isHostPort(hostPort)) return this.#begunByGuest.find(hostPort, guestPort);
    const connection = this.#begunByHost.get(hostPort);
    return connection?.route.guestPort === guestPort ? connection : undefined;
  }

  add(connection: C): void {
    const { peerCid, hostPort } = connection.route;
    this.all.add(connection);
    if (peerCid !== VMADDR_CID_HOST) {
      const pairs = this.#otherGuests.get(peerCid) ?? new Pairs<C>();
      this.#otherGuests.set(peerCid, pairs);
      pairs.add(connection);
    } else if (isHostPort(hostPort)) {
      this.#begunByHost.set(hostPort, connection);
    } else {
      this.#begunByGuest.add(connection);
    }
  }

  /** The guest is done with the connection: its ports are free. */
  freePorts(connection: C): void {
    const { peerCid, hostPort } = connection.route;
    if (peerCid !== VMADDR_CID_HOST) {
      const pairs = this.#otherGuests.get(peerCid);
      pairs?.remove(connection);
      if (pairs?.empty) this.#otherGuests.delete(peerCid);
    } else if (isHostPort(hostPort)) {
      this.#begunByHost.delete(hostPort);
    } else {
      this.#begunByGuest.remove(connection);
    }
  }
}
