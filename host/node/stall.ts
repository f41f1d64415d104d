// Notices a guest that does not return, from another thread than its own.

/** Looks in the time that a guest may take. */
export const LOOKS_PER_LIMIT = 8;

/**
 * Samples the presence word of a machine. It counts samples, not time, so that a process that was
 * stopped or a computer that slept does not trigger it.
 */
export class Stall {
  readonly #presence: Int32Array;
  #last = 0;
  #looks = 0;

  constructor(presence: Int32Array) {
    this.#presence = presence;
  }

  /** Has the guest stayed in one entry for LOOKS_PER_LIMIT looks? */
  look(): boolean {
    const entry = Atomics.load(this.#presence, 0);
    if (entry === 0) return false; // host code is at work: not counted, but no return either
    this.#looks = entry === this.#last ? this.#looks + 1 : 0;
    this.#last = entry;
    return this.#looks >= LOOKS_PER_LIMIT;
  }
}
