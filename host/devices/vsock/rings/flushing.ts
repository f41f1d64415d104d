// Connections whose payload leaves at the end of the turn.
import type { Connection } from "../connection/connection.ts";
import { empty } from "../connection/outbound.ts";

export class Flushing {
  readonly #list: Connection[] = [];

  add(connection: Connection): void {
    if (connection.flushing) return;
    connection.flushing = true;
    this.#list.push(connection);
  }

  run(): void {
    for (const connection of this.#list) {
      connection.flushing = false;
      connection.flush();
    }
    empty(this.#list);
  }

  /** Their payload is lost. */
  clear(): void {
    this.#list.length = 0;
  }
}
