// FSYNC and FSYNCDIR. Few calls go to the thread pool at a time, because each sync of a directory
// takes a descriptor, which a disk that hangs keeps through any number of resets. Others wait here.

import type { Activity } from "./activity.ts";

/** One FSYNC or FSYNCDIR. */
export interface Sync {
  /** Makes the call, which calls back. Throws what file calls throw. */
  begin(done: (error: Error | null) => void): void;
  /** Answers the request. Called once. */
  end(error: Error | null): void;
}

const RUNNING_MAX = 8;

export class Syncs {
  /** Requests that the device holds, bounded by their chains. */
  readonly #waiting: Sync[] = [];
  #running = 0;
  readonly #activity: Activity;

  constructor(activity: Activity) {
    this.#activity = activity;
  }

  add({ begin, end }: Sync): void {
    const ended = this.#activity.begin();
    this.#waiting.push({
      begin,
      end: (error) => {
        end(error);
        ended();
      },
    });
    this.#go();
  }

  /** The session is over: calls that have not begun are dropped. */
  clear(): void {
    if (this.#waiting.length === 0) return;
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
