// One moment that something is due at. It is moved often and met rarely, so moving it to a later
// time leaves the timer alone, which then looks again.
import type { Local } from "../local.ts";

export class Deadline {
  readonly #local: Local;
  readonly #expired: () => void;
  #dueMs = Number.POSITIVE_INFINITY;
  #firesMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(local: Local, expired: () => void) {
    this.#local = local;
    this.#expired = expired;
  }

  get isSet(): boolean {
    return this.#dueMs !== Number.POSITIVE_INFINITY;
  }

  /** In `ms` from now, instead of what was set before. */
  set(ms: number): void {
    this.#dueMs = this.#local.nowMs + ms;
    if (this.#dueMs < this.#firesMs) this.#arm(ms);
  }

  /** Nothing is due. The timer fires once more at most. */
  clear(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  /** The same, for good. */
  stop(): void {
    this.clear();
    this.#cancel?.();
    this.#cancel = null;
  }

  #arm(ms: number): void {
    this.#cancel?.();
    this.#firesMs = this.#dueMs;
    this.#cancel = this.#local.card.after(Math.max(1, Math.ceil(ms)), this.#fired);
  }

  readonly #fired = (): void => {
    this.#cancel = null;
    this.#firesMs = Number.POSITIVE_INFINITY;
    const restMs = this.#dueMs - this.#local.nowMs;
    if (restMs > 0) {
      if (this.isSet) this.#arm(restMs);
      return;
    }
    this.clear();
    this.#expired();
  };
}
