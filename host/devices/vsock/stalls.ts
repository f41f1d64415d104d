// Connections whose client has not taken a send at once. Each second those are looked at whose send
// was there a second ago.
import type { Sockets } from "../../sockets.ts";
import type { Connection } from "./connection.ts";

const LOOK_MS = 1000;

export interface StallsOwner {
  after(ms: number, callback: () => void): () => void;
  settle(): void;
}

export class Stalls {
  readonly #sockets: Sockets;
  readonly #owner: StallsOwner;
  /** With the send that was in flight at the last look; 0: none yet. */
  readonly #waiting = new Map<Connection, number>();
  #cancel: (() => void) | null = null;

  constructor(sockets: Sockets, owner: StallsOwner) {
    this.#sockets = sockets;
    this.#owner = owner;
  }

  add(connection: Connection): void {
    if (this.#waiting.has(connection)) return;
    this.#waiting.set(connection, 0);
    this.#cancel ??= this.#owner.after(LOOK_MS, this.#look);
  }

  /** For good. */
  stop(): void {
    this.#waiting.clear();
    this.#cancel?.();
    this.#cancel = null;
  }

  readonly #look = (): void => {
    this.#cancel = null;
    const old: Connection[] = [];
    for (const [connection, before] of this.#waiting) {
      const { sender } = connection;
      const { sending } = sender;
      if (sending === 0) {
        this.#waiting.delete(connection);
      } else if (sending === before) {
        old.push(connection);
      } else {
        this.#waiting.set(connection, sending);
        sender.begin();
      }
    }
    if (this.#waiting.size > 0) this.#cancel = this.#owner.after(LOOK_MS, this.#look);
    if (old.length > 0) this.#judge(old);
  };

  #judge(connections: readonly Connection[]): void {
    const sends = connections.map((one) => one.sender.sending);
    const answered = (counts: readonly number[]): void => {
      connections.forEach((connection, i) => {
        if (connection.sender.sending === sends[i]) connection.look(counts[i] ?? -1);
      });
      this.#owner.settle();
    };
    const asked = this.#sockets.unacknowledged?.(connections.map((one) => one.peer.socket));
    if (asked === undefined) answered([]);
    else void asked.then(answered);
  }
}
