// What the device may have to hold for slow readers, over all connections: the sum of the buf_alloc
// that it advertises. Every connection gets its window when it begins and gives it back when it is
// gone.
import type { VsockLimits } from "./hub.ts";

/** No window is smaller, unless the largest one is. */
const BUF_ALLOC_MIN = 16 * 1024;
/**
 * A window takes at most this fraction of what is not reserved: the first few hundred are
 * full-size.
 */
const SHARES = 64;

export class Budget {
  readonly #bufAllocMin: number;
  readonly #bufAllocMax: number;
  #left: number;
  #connectionsLeft: number;

  constructor({ connections, bufAlloc, bufAllocTotal }: VsockLimits) {
    this.#bufAllocMin = Math.min(BUF_ALLOC_MIN, bufAlloc);
    this.#bufAllocMax = bufAlloc;
    this.#left = bufAllocTotal;
    this.#connectionsLeft = connections;
  }

  /**
   * The window of one more connection, in bytes, which the caller gives back; 0: no room for
   * another. A smallest window stays reserved for each connection that may come later.
   */
  take(): number {
    if (this.#connectionsLeft === 0 || this.#left < this.#bufAllocMin) return 0;
    const spare = Math.max(0, this.#left - this.#connectionsLeft * this.#bufAllocMin);
    const wanted = this.#bufAllocMin + Math.floor(spare / SHARES);
    const window = Math.min(wanted, this.#bufAllocMax);
    this.#left -= window;
    this.#connectionsLeft--;
    return window;
  }

  give(window: number): void {
    this.#left += window;
    this.#connectionsLeft++;
  }
}
