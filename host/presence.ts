// Which entry into the guest is going on, as a word that a watchdog on another thread can read: 0
// is none, or that the host is at work inside it.

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

  /** It has returned, or is at an end. */
  leave(): void {
    this.#word[0] = 0;
  }

  /** The host is at work inside an entry; what is returned is for resume(). */
  pause(): number {
    const entry = this.#word[0] as number;
    this.#word[0] = 0;
    return entry;
  }

  resume(entry: number): void {
    this.#word[0] = entry;
  }
}
