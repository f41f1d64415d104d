// Who talks to whom: connections by their pair of ports, and those that wait for a moment in time.
import type { DeviceHost } from "../../device.ts";
import type { Connection } from "./connection.ts";

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

export class Table {
  /** Every connection that the guest knows or that has an open socket. */
  readonly all = new Set<Connection>();
  readonly #begunByHost = new Map<number, Connection>(); // by host port
  readonly #begunByGuest = new Map<number, Map<number, Connection>>(); // by host port, guest port
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

  find(hostPort: number, guestPort: number): Connection | undefined {
    if (!isHostPort(hostPort)) return this.#begunByGuest.get(hostPort)?.get(guestPort);
    const connection = this.#begunByHost.get(hostPort);
    return connection?.guestPort === guestPort ? connection : undefined;
  }

  add(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    this.all.add(connection);
    if (isHostPort(hostPort)) {
      this.#begunByHost.set(hostPort, connection);
      return;
    }
    const others = this.#begunByGuest.get(hostPort) ?? new Map<number, Connection>();
    this.#begunByGuest.set(hostPort, others.set(guestPort, connection));
  }

  /** The guest is done with the connection: its ports are free. */
  freePorts(connection: Connection): void {
    const { hostPort, guestPort } = connection;
    if (isHostPort(hostPort)) {
      this.#begunByHost.delete(hostPort);
      return;
    }
    const others = this.#begunByGuest.get(hostPort);
    others?.delete(guestPort);
    if (others?.size === 0) this.#begunByGuest.delete(hostPort);
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

  attach(host: DeviceHost): void {
    this.#host = host;
  }

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
