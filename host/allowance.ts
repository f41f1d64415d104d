// How much of a guest's requests is worked on in one turn, for each device. Each chain may be legal
// by itself and all of them together still take minutes: what goes beyond waits for the next turn,
// when the host has seen its other events.

/** In descriptors, each some 8 ns of work: a turn is held up by some 10 ms. */
const WORK_PER_TURN = 1 << 20;
/** What a chain costs beside its descriptors, with what it carries if that is little. */
const CHAIN_WORK = 8;
const LITTLE_BYTES = 1024;
/** 16 bytes go to a socket of the host while a descriptor is read: a turn moves 16 MiB. */
const BYTES_PER_WORK_LOG2 = 4;

export class Allowance {
  #left = WORK_PER_TURN;
  /** Something has to wait for renew(). */
  exhausted = false;
  readonly #ranOut: () => void;

  /** `ranOut` is called once a turn, at most: there has to be a next one. */
  constructor(ranOut: () => void) {
    this.#ranOut = ranOut;
  }

  /** May one more chain be taken? */
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

  /** A new turn begins. */
  renew(): void {
    this.#left = WORK_PER_TURN;
    this.exhausted = false;
  }
}
