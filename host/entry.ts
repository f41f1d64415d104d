// Entries into the guest: calls of host code that run guest code, one at a time. Host code runs
// inside them as well, for an import of the image; what it throws passes through the guest, which
// may catch it, and is therefore recorded.
import type { GuestMemory } from "./memory.ts";
import type { Presence } from "./presence.ts";

/** An exception, which may be any value. */
export interface Thrown {
  readonly error: unknown;
}

export class Entries {
  readonly #memory: GuestMemory;
  readonly #presence: Presence;
  #inside = false;
  /** Thrown by host code through the guest. */
  #thrown: Thrown | null = null;

  constructor(memory: GuestMemory, presence: Presence) {
    this.#memory = memory;
    this.#presence = presence;
  }

  /** Is an entry going on? */
  get inside(): boolean {
    return this.#inside;
  }

  /** Runs code that enters the guest. Its exception is given to `failed`, and returned. */
  visit(body: () => void, failed: (error: unknown) => void): Thrown | null {
    let thrown: Thrown | null = null;
    this.#inside = true;
    try {
      body();
    } catch (error) {
      thrown = { error };
      failed(error);
    }
    this.#presence.leave();
    this.#inside = false;
    return thrown;
  }

  /**
   * Host work inside an entry. The watchdog does not count its time; an exception ends the entry.
   */
  aside<T, Result>(work: (it: T) => Result): (it: T) => Result {
    return (it) => {
      const entry = this.#presence.pause();
      try {
        return work(it);
      } catch (error) {
        return this.throw(error);
      } finally {
        this.#presence.resume(entry);
      }
    };
  }

  /** Throws through the guest. A guest that catches it is stopped when it returns. */
  readonly throw = (error: unknown): never => {
    this.#thrown ??= { error };
    throw error;
  };

  /** After each return of the guest, before its memory is used. */
  returned(): void {
    this.#memory.assertAttached();
    if (this.#thrown !== null) throw this.#thrown.error;
  }
}
