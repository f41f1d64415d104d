// Asks whether a guest listens on a TCP port, again and again until it does.

/** Begins a handshake, and calls `done` later with the guest's answer. False: not now. */
export type Attempt = (guestPort: number, done: (accepted: boolean) => void) => boolean;

const RETRY_MS = 5;
const GONE = "net: the machine is gone";

export class Probes {
  readonly #attempt: Attempt;
  readonly #after: (ms: number, callback: () => void) => void;
  /** How to reject those that wait. */
  readonly #waiting = new Set<(error: Error) => void>();
  #isGone = false;

  constructor(attempt: Attempt, after: (ms: number, callback: () => void) => void) {
    this.#attempt = attempt;
    this.#after = after;
  }

  /** Resolves when the guest has accepted. Rejects when its card has left. */
  add(guestPort: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isGone) {
        reject(new Error(GONE));
        return;
      }
      this.#waiting.add(reject);
      const done = (accepted: boolean): void => {
        if (!accepted) {
          if (!this.#isGone) this.#after(RETRY_MS, ask);
          return;
        }
        this.#waiting.delete(reject);
        resolve();
      };
      const ask = (): void => {
        if (!this.#isGone && !this.#attempt(guestPort, done)) done(false);
      };
      ask();
    });
  }

  dispose(): void {
    this.#isGone = true;
    for (const reject of this.#waiting) reject(new Error(GONE));
    this.#waiting.clear();
  }
}
