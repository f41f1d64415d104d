// How late timers of the event loop are, and so how long a client waits before it is looked at.
// Node's own monitor would do, but it wakes an idle process fifty times a second, and its values
// contain the interval that it was asked for.
import { setTimeout } from "node:timers";

const EVERY_MS = 500;
/** Quantiles are of this many: the last minute. */
const SAMPLES = 120;

export class LoopLag {
  /** All that were ever late, in seconds, and how many that were. */
  sum = 0;
  count = 0;
  readonly #late = new Float64Array(SAMPLES);
  #timer: NodeJS.Timeout | null = null;
  #dueMs = 0;

  enable(): void {
    this.#dueMs = performance.now() + EVERY_MS;
    this.#timer = setTimeout(this.#look, EVERY_MS).unref();
  }

  disable(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** In seconds; NaN before the first sample. */
  quantile(share: number): number {
    const sorted = this.#late.slice(0, Math.min(this.count, SAMPLES)).sort();
    return sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN;
  }

  readonly #look = (): void => {
    const late = Math.max(0, performance.now() - this.#dueMs) / 1000;
    this.#late[this.count % SAMPLES] = late;
    this.sum += late;
    this.count++;
    this.enable();
  };
}
