// Connections by who talks to whom: CID of the peer, and pair of ports.
import { VMADDR_CID_HOST } from "../../../../abi/vsock.ts";
import { HostPorts } from "./host-ports.ts";
import { type Member, Members } from "./members.ts";
import { isGuestTarget, isHostPort, type Routed } from "./route.ts";

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

export class Table<C extends Routed & Member> {
  /** Every connection that the guest knows or that has an open socket. */
  readonly all = new Members<C>();
  readonly #begunByHost = new HostPorts<C>();
  readonly #begunByGuest = new Pairs<C>();
  readonly #otherGuests = new Map<number, Pairs<C>>(); // by CID; begun by either side

  /** Throws if guests may not connect to one of the mapped ports. */
  constructor(mapped: Iterable<number>) {
    for (const port of mapped) {
      if (!Number.isInteger(port) || !isGuestTarget(port)) {
        throw new Error(`vsock: guests cannot connect to host port ${port}: out of range`);
      }
    }
  }

  /** A port that no live connection has, for one that is added next. */
  allocatePort(): number {
    return this.#begunByHost.allocate();
  }

  find(peerCid: number, hostPort: number, guestPort: number): C | undefined {
    if (peerCid !== VMADDR_CID_HOST) {
      return this.#otherGuests.get(peerCid)?.find(hostPort, guestPort);
    }
    if (!isHostPort(hostPort)) return this.#begunByGuest.find(hostPort, guestPort);
    const connection = this.#begunByHost.find(hostPort);
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
      this.#begunByHost.add(connection);
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
      this.#begunByHost.remove(connection);
    } else {
      this.#begunByGuest.remove(connection);
    }
  }
}
