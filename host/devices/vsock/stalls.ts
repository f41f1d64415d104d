// Connections with a send that the kernel did not take at once. Once a second, those whose send has
// been in flight for a second are examined: is the client slow, or dead (patience.ts)?
import type { DeviceHost } from "../../device.ts";
import type { Sockets, StreamSocket } from "../../ports/sockets.ts";

const LOOK_MS = 1000;

/** A connection, as this list sees it. */
export interface Stalling {
  readonly sender: {
    /** The number of the send in flight; 0: there is none. */
    readonly sending: number;
    /** Another send than the one examined last is in flight. */
    begin(): void;
  };
  readonly peer: { readonly socket: StreamSocket };
  /** The send has been in flight for another second. -1: acknowledgements are not known. */
  look(unacknowledged: number): void;
}

interface Stall {
  /** The send in flight. */
  send: number;
  sinceNs: number;
}

export class Stalls {
  readonly #sockets: Sockets;
  readonly #looked: () => void;
  readonly #waiting = new Map<Stalling, Stall>();
  #host: DeviceHost | null = null;
  #cancel: (() => void) | null = null;

  /** `looked` is called whenever connections were examined. */
  constructor(sockets: Sockets, looked: () => void) {
    this.#sockets = sockets;
    this.#looked = looked;
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  /** A send did not leave at once; it may be the one that is known, or another. */
  add(connection: Stalling): void {
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
    const old: Stalling[] = [];
    for (const [connection, { sinceNs }] of this.#waiting) {
      if (connection.sender.sending === 0) this.#waiting.delete(connection);
      else if (sinceNs <= latestNs) old.push(connection);
    }
    this.#cancel = this.#waiting.size > 0 ? host.after(LOOK_MS, this.#look) : null;
    if (old.length > 0) this.#judge(old);
  };

  #judge(connections: readonly Stalling[]): void {
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
