// Counts what is under way in the thread pool, so that a snapshot can wait for its end.

export class Activity {
  #count = 0;
  #idle: (() => void)[] = [];

  /** A call is due or under way. The result ends it, and is called once. */
  begin(): () => void {
    this.#count++;
    return () => {
      this.#count--;
      if (this.#count > 0) return;
      for (const resolve of this.#idle.splice(0)) resolve();
    };
  }

  /** Resolves when nothing is under way, and nothing has followed it. */
  async idle(): Promise<void> {
    while (this.#count > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }
}
