// Questions whether the guest accepts on a port, asked until it does or the device is disposed.
import type { Opened } from "../hub.ts";

/** Begins a connection that tells once whether it was accepted. False: there is no room for it. */
export type Attempt = (guestPort: number, done: Opened) => boolean;

const RETRY_MS = 5;
/** What is said of a machine that has ended. */
export const GONE = "vsock: the machine is gone";
/** And of a device that takes no more clients. */
export const DRAINED = "vsock: the device drains";

export class Probes {
  readonly #attempt: Attempt;
  readonly #after: (ms: number, callback: () => void) => void;
  readonly #waiting = new Set<(error: Error) => void>(); // how to reject them
  #disposed = ""; // why

  constructor(attempt: Attempt, after: (ms: number, callback: () => void) => void) {
    this.#attempt = attempt;
    this.#after = after;
  }

  add(guestPort: number): Promise<void> {
    if (this.#disposed !== "") return Promise.reject(new Error(this.#disposed));
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      const ask = (): void => {
        if (this.#disposed === "" && !this.#attempt(guestPort, done)) done(false);
      };
      const done = (accepted: boolean): void => {
        if (!accepted) {
          if (this.#disposed === "") this.#after(RETRY_MS, ask);
          return;
        }
        this.#waiting.delete(reject);
        resolve();
      };
      ask();
    });
  }

  dispose(reason = GONE): void {
    this.#disposed = reason;
    for (const reject of this.#waiting) reject(new Error(reason));
    this.#waiting.clear();
  }
}
