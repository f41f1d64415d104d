// Waiting for the disk. A few calls at a time go to the thread pool, for each of a directory is a
// descriptor, and a disk that hangs keeps them over any number of resets; the others wait here.

/** One FSYNC or FSYNCDIR. */
export interface Sync {
  /** Makes the call, which calls back; or throws what file calls throw. */
  begin(done: (error: Error | null) => void): void;
  /** Answers the request. Called once. */
  end(error: Error | null): void;
}

const RUNNING_MAX = 8;

export class Syncs {
  /** Requests that the device holds; their chains bound them. */
  readonly #waiting: Sync[] = [];
  #running = 0;

  add(sync: Sync): void {
    this.#waiting.push(sync);
    this.#go();
  }

  /** The session is over: what has not begun does not begin any more. */
  clear(): void {
    const error = Object.assign(new Error("the session has ended"), { code: "EIO" });
    for (const sync of this.#waiting.splice(0)) sync.end(error);
  }

  #go(): void {
    while (this.#running < RUNNING_MAX) {
      const sync = this.#waiting.shift();
      if (sync === undefined) return;
      this.#running++;
      try {
        sync.begin((error) => {
          this.#running--;
          sync.end(error);
          this.#go();
        });
      } catch (error) {
        this.#running--;
        sync.end(error as Error);
      }
    }
  }
}
