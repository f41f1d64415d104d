// Reads memory of a guest that may lie: an address outside of it reads as 0, and so does all of
// the memory of a guest that has grown it, which ends its machine.
import type { GuestMemory } from "../memory.ts";

const TWO_32 = 4294967296;

export class GuestReader {
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  u32(address: number): number {
    return this.#has(address, 4) ? this.#memory.view.getUint32(address, true) : 0;
  }

  /** `count` words that are `stride` bytes apart; none if they are not all inside the memory. */
  words(address: number, count: number, stride: number): Uint32Array {
    if (count === 0 || !this.#has(address, (count - 1) * stride + 4)) return new Uint32Array();
    const { view } = this.#memory;
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++) words[i] = view.getUint32(address + i * stride, true);
    return words;
  }

  i32(address: number): number {
    return this.u32(address) | 0;
  }

  u16(address: number): number {
    return this.#has(address, 2) ? this.#memory.view.getUint16(address, true) : 0;
  }

  #has(address: number, bytes: number): boolean {
    // Sums of what the guest says may be negative, or more than 32 bits.
    if (!this.#memory.attached || address < 0) return false;
    return address + bytes <= this.#memory.view.byteLength;
  }

  /** As a number, which is exact up to 2^53. */
  u64(address: number): number {
    return this.u32(address + 4) * TWO_32 + this.u32(address);
  }
}
