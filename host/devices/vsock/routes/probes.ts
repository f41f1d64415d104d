// Asks whether the guest accepts on a port, again and again until it does.
import type { Answered } from "./route.ts";

/**
 * Begins a connection, and calls `done` with the guest's answer. False: there is no room for it.
 */
export type Attempt = (guestPort: number, done: Answered) => boolean;

const RETRY_MS = 5;
/** Reasons to give up. */
export const GONE = "vsock: the machine is gone";
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
