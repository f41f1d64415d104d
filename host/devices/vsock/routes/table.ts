// Who talks to whom: connections by CID of the peer and pair of ports, and those that wait for a
// moment in time.
import { VMADDR_CID_HOST } from "../../../../abi/vsock.ts";
import type { DeviceHost } from "../../../device.ts";
import type { Connection } from "../connection/connection.ts";
import { CONNECT_MS } from "../hub.ts";

/** Host ports of connections that the host begins, as Firecracker has them. */
export const HOST_PORT_MIN = 2 ** 30;
export const HOST_PORT_END = 2 ** 31;

/** How often deadlines are looked at: they may run out this much late. */
const SWEEP_MS = 250;

function isHostPort(port: number): boolean {
  return port >= HOST_PORT_MIN && port < HOST_PORT_END;
}

/** Ports of the host that guests may connect to: connections of the host take theirs elsewhere. */
export function isGuestTarget(port: number): boolean {
  return port >= 0 && port <= 0xfffffffe && !isHostPort(port);
}

/** Connections of one peer by its port, and then by the guest's. */
class Pairs {
  readonly #ports = new Map<number, Map<number, Connection>>();

  get empty(): boolean {
    return this.#ports.size === 0;
  }

  find(peerPort: number, guestPort: number): Connection | undefined {
    return this.#ports.get(peerPort)?.get(guestPort);
  }

  add(connection: Connection): void {
    const { hostPort, guestPort } = connection.route;
    const others = this.#ports.get(hostPort) ?? new Map<number, Connection>();
    this.#ports.set(hostPort, others.set(guestPort, connection));
  }

  remove({ route: { hostPort, guestPort } }: Connection): void {
    const others = this.#ports.get(hostPort);
    others?.delete(guestPort);
    if (others?.size === 0) this.#ports.delete(hostPort);
  }
}

export class Table {
  /** Every connection that the guest knows or that has an open socket. */
  readonly all = new Set<Connection>();
  readonly #begunByHost = new Map<number, Connection>(); // by host port
  readonly #begunByGuest = new Pairs();
  readonly #otherGuests = new Map<number, Pairs>(); // by CID; begun by either side
  #nextPort = HOST_PORT_MIN;

  /** Throws when a mapped port is none that guests may connect to. */
  constructor(mapped: Iterable<number>) {
    for (const port of mapped) {
      if (!Number.isInteger(port) || !isGuestTarget(port)) {
        throw new Error(`vsock: guests cannot connect to host port ${port}: out of range`);
      }
    }
  }

  /** A port that no live connection has: there are more of them than connections. */
  allocatePort(): number {
    let port: number;
    do {
      port = this.#nextPort;
      this.#nextPort = port + 1 === HOST_PORT_END ? HOST_PORT_MIN : port + 1;
    } while (this.#begunByHost.has(port));
    return port;
  }

  find(peerCid: number, hostPort: number, guestPort: number): Connection | undefined {
    if (peerCid !== VMADDR_CID_HOST) {
      return this.#otherGuests.get(peerCid)?.find(hostPort, guestPort);
    }
    if (!isHostPort(hostPort)) return this.#begunByGuest.find(hostPort, guestPort);
    const connection = this.#begunByHost.get(hostPort);
    return connection?.route.guestPort === guestPort ? connection : undefined;
  }

  add(connection: Connection): void {
    const { peerCid, hostPort } = connection.route;
    this.all.add(connection);
    if (peerCid !== VMADDR_CID_HOST) {
      const pairs = this.#otherGuests.get(peerCid) ?? new Pairs();
      this.#otherGuests.set(peerCid, pairs);
      pairs.add(connection);
    } else if (isHostPort(hostPort)) {
      this.#begunByHost.set(hostPort, connection);
    } else {
      this.#begunByGuest.add(connection);
    }
  }

  /** The guest is done with the connection: its ports are free. */
  freePorts(connection: Connection): void {
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

/** One coarse timer for all connections, armed only while a deadline is set. */
export class Deadlines {
  readonly #table: Table;
  readonly #swept: () => void;
  #host: DeviceHost | null = null;
  #cancel: (() => void) | null = null;

  /** `swept` is called after every look, whether or not a deadline had passed. */
  constructor(table: Table, swept: () => void) {
    this.#table = table;
    this.#swept = swept;
  }

  /** Clients that came before the machine have waited without a deadline. */
  attach(host: DeviceHost): void {
    this.#host = host;
    for (const connection of this.#table.all) this.set(connection, CONNECT_MS);
  }

  /** Its expired() is called after `ms`, unless another deadline is set before. */
  set(connection: Connection, ms: number): void {
    const host = this.#host;
    if (host === null) return;
    connection.deadlineNs = host.now() + ms * 1e6;
    this.#cancel ??= host.after(SWEEP_MS, this.#sweep);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  readonly #sweep = (): void => {
    const host = this.#host as DeviceHost;
    const now = host.now();
    let waiting = false;
    this.#cancel = null;
    for (const connection of this.#table.all) {
      if (connection.deadlineNs <= now) {
        connection.deadlineNs = Number.POSITIVE_INFINITY;
        connection.expired();
      }
      waiting ||= connection.deadlineNs !== Number.POSITIVE_INFINITY;
    }
    if (waiting) this.#cancel ??= host.after(SWEEP_MS, this.#sweep);
    this.#swept();
  };
}
