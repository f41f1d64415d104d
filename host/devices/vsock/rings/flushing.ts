// Connections whose payload leaves at the end of the turn.

/** A connection, as this list sees it. */
export interface Flushable {
  /** Is it in the list? */
  flushing: boolean;
  flush(): void;
}

/** Empties an array that will be filled again soon: `length = 0` would make V8 drop its memory. */
export function empty(list: unknown[]): void {
  while (list.length > 0) list.pop();
}

export class Flushing {
  readonly #list: Flushable[] = [];

  add(connection: Flushable): void {
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

  /** The payload is lost. */
  clear(): void {
    this.#list.length = 0;
  }
}
