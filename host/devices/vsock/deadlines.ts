// Deadlines of all connections, kept by one coarse timer that runs only while one is set.
import type { DeviceHost } from "../../device.ts";
import { CONNECT_MS } from "./connection/timeouts.ts";

/** Time between two sweeps; a deadline may pass this much unnoticed. */
const SWEEP_MS = 250;

/** A connection, as its deadline sees it. */
export interface Expiring {
  /** Infinity: no deadline. */
  deadlineNs: number;
  /** The deadline has passed. */
  expired(): void;
}

export class Deadlines {
  readonly #all: Iterable<Expiring>;
  readonly #swept: () => void;
  #host: DeviceHost | null = null;
  #cancel: (() => void) | null = null;

  /** `swept` is called after every sweep over `all`, whether or not a deadline had passed. */
  constructor(all: Iterable<Expiring>, swept: () => void) {
    this.#all = all;
    this.#swept = swept;
  }

  /** Clients that came before the machine have waited without a deadline until now. */
  attach(host: DeviceHost): void {
    this.#host = host;
    for (const connection of this.#all) this.set(connection, CONNECT_MS);
  }

  /** expired() is called after `ms`, unless another deadline replaces this one. */
  set(connection: Expiring, ms: number): void {
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
    for (const connection of this.#all) {
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
