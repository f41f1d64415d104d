// The end of a device's connections, by request or with its machine: who waits for it.
export class Drain {
  /** No more clients are taken. */
  begun = false;
  /** The machine is gone. */
  ended = false;
  #waiting: (() => void)[] = [];

  begin(): Promise<void> {
    this.begun = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    this.begun = this.ended = true;
  }

  /** Is there anything left to wait for? */
  check(connections: number): void {
    if (!this.ended && (!this.begun || connections > 0)) return;
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
  }
}
