// How much work a device does for its guest in one turn. Each chain may be legal and all of them
// together still take minutes; the rest waits for the next turn, after the host's other events.

/** In descriptors, each some 8 ns of work: some 10 ms a turn. */
const WORK_PER_TURN = 1 << 20;
/** The cost of a chain besides its descriptors, including a small payload. */
const CHAIN_WORK = 8;
const LITTLE_BYTES = 1024;
/** Sending 16 bytes takes as long as reading a descriptor: a turn moves 16 MiB. */
const BYTES_PER_WORK_LOG2 = 4;

export class Allowance {
  #left = WORK_PER_TURN;
  /** Work waits for renew(). */
  exhausted = false;
  readonly #ranOut: () => void;

  /** `ranOut` is called at most once a turn. It must see to another turn. */
  constructor(ranOut: () => void) {
    this.#ranOut = ranOut;
  }

  /** May another chain be taken? */
  grants(): boolean {
    if (this.#left > 0) return true;
    if (!this.exhausted) {
      this.exhausted = true;
      this.#ranOut();
    }
    return false;
  }

  /** `bytes` is a u32. */
  charge(descriptors: number, bytes: number): void {
    this.#left -= CHAIN_WORK + descriptors;
    if (bytes > LITTLE_BYTES) this.#left -= bytes >>> BYTES_PER_WORK_LOG2;
  }

  /** There may be work that nobody kicks for: the next turn looks for it. */
  defer(): void {
    this.exhausted = true;
  }

  /** A turn begins. */
  renew(): void {
    this.#left = WORK_PER_TURN;
    this.exhausted = false;
  }
}
