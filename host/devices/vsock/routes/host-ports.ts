// Connections that the host has begun, by the port that it chose for each. No two ports in use
// share a slot, so finding one is a look into an array.
import { HOST_PORT_END, HOST_PORT_MIN, type Routed } from "./route.ts";

const SLOTS_MIN = 64;

export class HostPorts<C extends Routed> {
  /**
   * A power of two; a connection is at its port modulo that. At most half are used, so there are at
   * most four times as many as the device admits connections.
   */
  #slots: (C | null)[] = Array(SLOTS_MIN).fill(null);
  #used = 0;
  #nextPort = HOST_PORT_MIN;

  /** A port that no live connection has. There are more ports than connections. */
  allocate(): number {
    let port: number;
    do {
      port = this.#nextPort;
      this.#nextPort = port + 1 === HOST_PORT_END ? HOST_PORT_MIN : port + 1;
    } while (this.#slots[this.#slotOf(port)] !== null);
    return port;
  }

  find(port: number): C | undefined {
    const found = this.#slots[this.#slotOf(port)];
    return found?.route.hostPort === port ? found : undefined;
  }

  /** Of a connection whose port was just allocated. */
  add(connection: C): void {
    this.#slots[this.#slotOf(connection.route.hostPort)] = connection;
    if (++this.#used * 2 > this.#slots.length) this.#grow();
  }

  remove({ route: { hostPort } }: C): void {
    this.#slots[this.#slotOf(hostPort)] = null;
    this.#used--;
  }

  #slotOf(port: number): number {
    return port & (this.#slots.length - 1);
  }

  /** Ports that differ modulo the old size differ modulo the new one. */
  #grow(): void {
    const old = this.#slots;
    this.#slots = Array(old.length * 2).fill(null);
    for (const one of old) {
      if (one !== null) this.#slots[this.#slotOf(one.route.hostPort)] = one;
    }
  }
}
