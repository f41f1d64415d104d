// Reads memory of a guest that may lie: an address outside of it reads as 0.
import type { GuestMemory } from "../memory.ts";

const TWO_32 = 4294967296;

export class GuestReader {
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  u8(address: number): number {
    return this.#memory.contains(address, 1) ? this.#memory.view.getUint8(address) : 0;
  }

  u32(address: number): number {
    return this.#memory.contains(address, 4) ? this.#memory.view.getUint32(address, true) : 0;
  }

  i32(address: number): number {
    return this.u32(address) | 0;
  }

  u16(address: number): number {
    return this.#memory.contains(address, 2) ? this.#memory.view.getUint16(address, true) : 0;
  }

  /** As a number, which is exact up to 2^53. */
  u64(address: number): number {
    return this.u32(address + 4) * TWO_32 + this.u32(address);
  }
}
