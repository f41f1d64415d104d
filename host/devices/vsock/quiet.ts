// Ends connections when nothing has come from their clients for a while. No moment is right for a
// client that may write at any time, but one that has been silent is unlikely to write just now.
import type { DeviceHost } from "../../device.ts";

/** Time between two looks. */
const LOOK_MS = 100;

/** A connection that can be ended. */
export interface Endable {
  /** Grows with every byte that its client sends. */
  readonly bytesToGuest: number;
  drain(): void;
}

interface Seen {
  readonly bytes: number;
  readonly sinceNs: number;
}

export class Quiet<Connection extends Endable> {
  readonly #all: Iterable<Connection>;
  readonly #swept: () => void;
  #host: DeviceHost | null = null;
  #seen = new Map<Connection, Seen>();
  #quietNs = Number.POSITIVE_INFINITY; // nothing is ended yet
  #cancel: (() => void) | null = null;

  /** `swept` is called after connections have been ended. */
  constructor(all: Iterable<Connection>, swept: () => void) {
    this.#all = all;
    this.#swept = swept;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  /** From now on it is known which clients are silent. */
  watch(): void {
    this.#look();
  }

  /** Ends each connection, once its client has been silent for that long. */
  end(quietMs: number): void {
    this.#quietNs = quietMs * 1e6;
    this.#look();
  }

  /** No connection is ended any more. */
  stop(): void {
    this.#quietNs = Number.POSITIVE_INFINITY;
    this.#cancel?.();
    this.#cancel = null;
    this.#seen.clear();
  }

  readonly #look = (): void => {
    const host = this.#host;
    if (host === null) return;
    this.#cancel?.();
    const now = host.now();
    const seen = new Map<Connection, Seen>();
    for (const one of this.#all) {
      const { bytesToGuest: bytes } = one;
      const before = this.#seen.get(one);
      const sinceNs = before?.bytes === bytes ? before.sinceNs : now;
      seen.set(one, { bytes, sinceNs });
      if (now - sinceNs >= this.#quietNs) one.drain();
    }
    this.#seen = seen;
    if (this.#quietNs !== Number.POSITIVE_INFINITY) this.#swept();
    this.#cancel = host.after(LOOK_MS, this.#look);
  };
}
