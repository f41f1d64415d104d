// The host's side of the time page, written before each entry into the guest. It holds wall time as
// an offset, which follows the host when it has slept or its clock was set.
import { GENERATION_BYTES, TIME_PAGE_ADDRESS, TimePage } from "../abi/boot.ts";
import type { GuestMemory } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";
import { WallClock } from "./wall-clock.ts";

const TWO_32 = 4294967296;
export const NO_TIMER = Number.POSITIVE_INFINITY;

export class HostTimePage {
  readonly #memory: GuestMemory;
  readonly #clock: Clock;
  #wall: WallClock;

  constructor(memory: GuestMemory, clock: Clock) {
    this.#memory = memory;
    this.#clock = clock;
    this.#wall = new WallClock(clock);
  }

  /** Before each entry. */
  write(): void {
    const { view } = this.#memory;
    const ns = this.#clock.now();
    // Storing a double as u32 keeps its low 32 bits.
    const at = TIME_PAGE_ADDRESS + TimePage.monotonicNs;
    view.setUint32(at, ns, true);
    view.setUint32(at + 4, ns / TWO_32, true);
    if (!this.#wall.look(ns)) return;
    view.setBigInt64(TIME_PAGE_ADDRESS + TimePage.realtimeOffsetNs, this.#wall.offsetNs, true);
  }

  /** Should the guest record its switches? */
  set traceWanted(wanted: boolean) {
    const at = TIME_PAGE_ADDRESS + TimePage.traceWanted;
    this.#memory.view.setUint32(at, wanted ? 1 : 0, true);
  }

  /** Gives the machine a generation of its own. */
  renew(entropy: (into: Uint8Array) => void): void {
    entropy(this.#memory.bytes(TIME_PAGE_ADDRESS + TimePage.generation, GENERATION_BYTES));
  }

  /** The page was a snapshot's. The guest learns that, and the next write() is of this host. */
  restored(): void {
    this.#memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.restored, 1, true);
    this.#wall = new WallClock(this.#clock);
  }

  /** The end of what the guest's allocator has written; 0: not known. */
  get heapTop(): number {
    return this.#memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.heapTop, true);
  }

  /** Should threads that print wait? */
  set consoleFull(full: boolean) {
    const at = TIME_PAGE_ADDRESS + TimePage.consoleFull;
    this.#memory.view.setUint32(at, full ? 1 : 0, true);
  }

  /** When the guest wants to be woken, in the clock's nanoseconds. */
  get nextTimerNs(): number {
    const at = TIME_PAGE_ADDRESS + TimePage.nextTimerNs;
    const high = this.#memory.view.getUint32(at + 4, true);
    if (high === 0xffffffff) return NO_TIMER;
    return high * TWO_32 + this.#memory.view.getUint32(at, true);
  }
}
