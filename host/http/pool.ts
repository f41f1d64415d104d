// Connections to one port of the guest: as many as there are requests at a time, up to a bound;
// then requests wait in turn. A few idle ones are kept.
import type { SocketEvents, StreamSocket } from "../ports/sockets.ts";
import { HttpConnection } from "./connection.ts";
import { FetchError } from "./fetch-error.ts";

/** Connections to one port; further requests wait. */
const CONNECTIONS_MAX = 64;
/** Idle ones that are kept, for each holds memory of the guest; others are closed. */
const IDLE_MAX = 8;
/** Requests that wait for a connection; further ones are refused. */
const WAITING_MAX = 1024;

interface Waiting {
  resolve(connection: HttpConnection): void;
  reject(reason: unknown): void;
}

export type Dial = (port: number, events: SocketEvents) => StreamSocket;

export class ConnectionPool {
  readonly #dial: Dial;
  readonly #port: number;
  readonly #idle: HttpConnection[] = []; // the last one was used last
  readonly #waiting: Waiting[] = [];
  #count = 0;

  constructor(dial: Dial, port: number) {
    this.#dial = dial;
    this.#port = port;
  }

  /**
   * A connection for one exchange: an idle one unless `fresh`. Rejects with a FetchError, or with
   * the signal's reason.
   */
  async take(fresh: boolean, signal: AbortSignal): Promise<HttpConnection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!fresh && idle.isUsable) return idle;
      idle.close();
    }
    if (this.#count < CONNECTIONS_MAX) return this.#open();
    if (this.#waiting.length >= WAITING_MAX) {
      throw new FetchError("EAGAIN", `${WAITING_MAX} requests wait for port ${this.#port}`);
    }
    return this.#wait(signal);
  }

  freed(connection: HttpConnection): void {
    const next = this.#waiting.shift();
    if (next !== undefined) next.resolve(connection);
    else if (this.#idle.length < IDLE_MAX) this.#idle.push(connection);
    else connection.close();
  }

  gone(connection: HttpConnection): void {
    this.#count--;
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    const next = this.#waiting.shift();
    if (next === undefined) return;
    try {
      next.resolve(this.#open());
    } catch (error) {
      next.reject(error);
    }
  }

  #open(): HttpConnection {
    try {
      const connection = new HttpConnection(this.#dial, this.#port, this);
      this.#count++;
      return connection;
    } catch (error) {
      if (error instanceof RangeError) throw error; // no such port
      throw new FetchError("ENOTCONN", (error as Error).message, { cause: error });
    }
  }

  #wait(signal: AbortSignal): Promise<HttpConnection> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal.reason);
      };
      const entry: Waiting = {
        resolve: (connection) => {
          signal.removeEventListener("abort", abort);
          resolve(connection);
        },
        reject: (reason) => {
          signal.removeEventListener("abort", abort);
          reject(reason);
        },
      };
      this.#waiting.push(entry);
      signal.addEventListener("abort", abort);
    });
  }
}
