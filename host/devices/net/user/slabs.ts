// Buffers of 64 KiB for bytes of TCP connections, which are counted and given back. Those that were
// in use a moment ago are taken first: they are in the processor's cache.

export const SLAB_BYTES = 65536;

/** With fewer left nothing is read any more: one read may take two. */
const LOW = 2;

export class SlabPool {
  readonly #end: number;
  #next: number;
  readonly #free: number[] = [];
  /** Called when the pool gets low, and when it is not low any more. */
  onChange: () => void = () => {};

  /** Slabs of a memory, from address `at` on. */
  constructor(at: number, count: number) {
    this.#next = at;
    this.#end = at + count * SLAB_BYTES;
  }

  /** Slabs that can be taken. */
  get available(): number {
    return this.#free.length + (this.#end - this.#next) / SLAB_BYTES;
  }

  get isLow(): boolean {
    return this.available < LOW;
  }

  /** The address of a slab, which is the taker's until give(); -1: all are taken. */
  take(): number {
    const at = this.#free.pop() ?? this.#fresh();
    if (at >= 0 && this.available === LOW - 1) this.onChange();
    return at;
  }

  give(at: number): void {
    this.#free.push(at);
    if (this.available === LOW) this.onChange();
  }

  #fresh(): number {
    if (this.#next === this.#end) return -1;
    this.#next += SLAB_BYTES;
    return this.#next - SLAB_BYTES;
  }
}
