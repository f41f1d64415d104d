// The HTTP client of a machine, which is loaded for the first request: most machines send none.
import type { VirtioDevice } from "../device.ts";
import type { Clock } from "../ports/clock.ts";
import type { GuestRequestInit, HttpClient } from "./client.ts";

export class LateHttpClient {
  readonly #devices: readonly VirtioDevice[];
  readonly #clock: Clock;
  #client: HttpClient | null = null;

  constructor(devices: readonly VirtioDevice[], clock: Clock) {
    this.#devices = devices;
    this.#clock = clock;
  }

  /** As Machine.fetch(). */
  fetch(input: Request | string | URL, init?: GuestRequestInit): Promise<Response> {
    const client = this.#client;
    if (client !== null) return client.fetch(input, init);
    return this.#load().then((loaded) => loaded.fetch(input, init));
  }

  /** The guest is another one: none of the connections may carry a request of it. */
  forget(): void {
    this.#client = null;
  }

  async #load(): Promise<HttpClient> {
    const { HttpClient } = await import("./client.ts");
    this.#client ??= new HttpClient(this.#devices, this.#clock);
    return this.#client;
  }
}
