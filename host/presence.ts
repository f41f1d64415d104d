// A word that tells a watchdog on another thread which entry into the guest is going on. 0: none,
// or host code is at work inside it.

export class Presence {
  readonly #word: Int32Array;
  #entries = 0;

  constructor(word: Int32Array) {
    this.#word = word;
  }

  /** The guest is entered. */
  enter(): void {
    this.#entries = (this.#entries % 0x7fffffff) + 1;
    this.#word[0] = this.#entries;
  }

  /** The guest has returned, or has ended. */
  leave(): void {
    this.#word[0] = 0;
  }

  /** Host code begins inside an entry. The result is for resume(). */
  pause(): number {
    const entry = this.#word[0] as number;
    this.#word[0] = 0;
    return entry;
  }

  resume(entry: number): void {
    this.#word[0] = entry;
  }
}
