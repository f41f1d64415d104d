// Connections whose client has not taken a send at once. Each second those are looked at whose send
// has been there for a second.
import type { DeviceHost } from "../../device.ts";
import type { Sockets } from "../../ports/sockets.ts";
import type { Connection } from "./connection/connection.ts";

const LOOK_MS = 1000;

interface Stall {
  /** The send in flight. */
  send: number;
  sinceNs: number;
}

export class Stalls {
  readonly #sockets: Sockets;
  readonly #looked: () => void;
  readonly #waiting = new Map<Connection, Stall>();
  #host: DeviceHost | null = null;
  #cancel: (() => void) | null = null;

  /** `looked` is called after every look that had somebody to look at. */
  constructor(sockets: Sockets, looked: () => void) {
    this.#sockets = sockets;
    this.#looked = looked;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  /** Its send has not left at once; perhaps it is a new one. */
  add(connection: Connection): void {
    const host = this.#host;
    if (host === null) return;
    const { sender } = connection;
    const stall = this.#waiting.get(connection);
    if (stall === undefined) {
      this.#waiting.set(connection, { send: sender.sending, sinceNs: host.now() });
      this.#cancel ??= host.after(LOOK_MS, this.#look);
    } else if (stall.send !== sender.sending) {
      stall.send = sender.sending;
      stall.sinceNs = host.now();
      sender.begin();
    }
  }

  /** For good. */
  stop(): void {
    this.#waiting.clear();
    this.#cancel?.();
    this.#cancel = null;
  }

  readonly #look = (): void => {
    const host = this.#host as DeviceHost;
    const latestNs = host.now() - LOOK_MS * 1e6;
    const old: Connection[] = [];
    for (const [connection, { sinceNs }] of this.#waiting) {
      if (connection.sender.sending === 0) this.#waiting.delete(connection);
      else if (sinceNs <= latestNs) old.push(connection);
    }
    this.#cancel = this.#waiting.size > 0 ? host.after(LOOK_MS, this.#look) : null;
    if (old.length > 0) this.#judge(old);
  };

  #judge(connections: readonly Connection[]): void {
    const sends = connections.map(({ sender }) => sender.sending);
    const answered = (counts: readonly number[]): void => {
      connections.forEach((connection, i) => {
        if (connection.sender.sending === sends[i]) connection.look(counts[i] ?? -1);
      });
      this.#looked();
    };
    const asked = this.#sockets.unacknowledged?.(connections.map(({ peer }) => peer.socket));
    if (asked === undefined) answered([]);
    else asked.then(answered, () => answered([]));
  }
}
