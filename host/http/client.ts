// HTTP/1.1 to a guest, within this process: fetch() over vsock. Redirects are returned as they are,
// nothing is decoded, and there are no cookies.
import type { VirtioDevice } from "../device.ts";
import type { Clock } from "../ports/clock.ts";
import { FetchError } from "./fetch-error.ts";
import { ConnectionPool, type Dial } from "./pool.ts";
import { type RequestBody, readBody } from "./request-body.ts";
import { encodeHead } from "./request-head.ts";

const GUEST_PORT_DEFAULT = 80;
/** Methods that may be sent twice (RFC 9110, 9.2.2). */
const IDEMPOTENT = /^(GET|HEAD|OPTIONS|PUT|DELETE|TRACE)$/;

/** Options of machine.fetch(): those of fetch(), and the guest's port. */
export interface GuestRequestInit extends RequestInit {
  /** The port of the guest that the request goes to; 80 by default. The URL's is not used. */
  readonly guestPort?: number;
}

export class HttpClient {
  readonly #dial: Dial;
  readonly #defer: (callback: () => void) => void;
  readonly #pools = new Map<number, ConnectionPool>(); // for each port that the caller has named

  /** The first device that carries connections leads to the guest. */
  constructor(devices: readonly Pick<VirtioDevice, "dial">[], clock: Pick<Clock, "defer">) {
    const device = devices.find((one) => one.dial !== undefined);
    this.#dial = (port, events) => {
      if (device?.dial === undefined) throw new Error("the machine has no vsock device");
      return device.dial(port, events);
    };
    this.#defer = (callback) => clock.defer(callback);
  }

  /** As Machine.fetch(). */
  async fetch(input: Request | string | URL, init?: GuestRequestInit): Promise<Response> {
    const isReady = input instanceof Request && init === undefined;
    const request = isReady ? input : new Request(input, init);
    const { signal } = request;
    signal.throwIfAborted();
    const body = await readBody(request, this.#defer);
    try {
      return await this.#send(request, body, init?.guestPort ?? GUEST_PORT_DEFAULT);
    } catch (error) {
      body.rest?.cancel(error);
      throw error;
    }
  }

  async #send(request: Request, body: RequestBody, port: number): Promise<Response> {
    const { method, signal } = request;
    const head = encodeHead(request, body.length);
    const pool = this.#poolOf(port);
    let isAgain = false;
    for (;;) {
      const connection = await pool.take(isAgain, signal);
      if (connection.isGone) continue; // it ended while it was handed over
      if (signal.aborted) {
        pool.freed(connection);
        throw signal.reason;
      }
      const wasUsed = connection.exchanges > 0;
      try {
        return await connection.send(method, head, body, signal);
      } catch (error) {
        // A kept connection may have been closed by the guest while the request was on its way.
        const isStale = wasUsed && connection.isUntouched && error instanceof FetchError;
        const maySendAgain = body.rest === null && IDEMPOTENT.test(method);
        if (!isStale || !maySendAgain || isAgain) throw error;
        isAgain = true;
      }
    }
  }

  #poolOf(port: number): ConnectionPool {
    let pool = this.#pools.get(port);
    if (pool === undefined) {
      pool = new ConnectionPool(this.#dial, port);
      this.#pools.set(port, pool);
    }
    return pool;
  }
}
