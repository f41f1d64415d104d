// A chain of descriptors: one request, as its device sees it (virtio 2.7.4).
import type { GuestMemory } from "./memory.ts";

/** The queue that a chain came from. */
export interface ChainOwner {
  readonly memory: GuestMemory;
  /** Chain.live */
  holds(chain: Chain): boolean;
  /** Chain.release() */
  push(chain: Chain, written: number): void;
}

/**
 * One request of the driver: device-readable segments first, then device-writable ones. The
 * descriptors were copied once and checked against the memory. It belongs to the device until
 * release(), after which the object is reused.
 */
export class Chain {
  head = 0;
  /** Segments [0, readableCount) are readable, [readableCount, count) are writable. */
  readableCount = 0;
  count = 0;
  readableBytes = 0;
  writableBytes = 0;
  readonly addresses: number[] = [];
  readonly lengths: number[] = [];
  /** The queue's generation when the chain was taken. A release in a later one is ignored. */
  epoch = 0;
  readonly #queue: ChainOwner;

  constructor(queue: ChainOwner) {
    this.#queue = queue;
  }

  /** Does the device still own it? After a reset its memory must not be touched any more. */
  get live(): boolean {
    return this.#queue.holds(this);
  }

  /** Returns the chain with `written` bytes in its writable part. Does not interrupt. */
  release(written: number): void {
    this.#queue.push(this, written);
  }

  /** A view of segment i, not a copy. */
  segment(i: number): Uint8Array {
    const start = this.addresses[i] as number;
    return this.#queue.memory.u8.subarray(start, start + (this.lengths[i] as number));
  }

  /** The memory that the chain's buffers lie in. */
  get memory(): GuestMemory {
    return this.#queue.memory;
  }

  /**
   * Guest address of [offset, offset + length) of the readable part, if the range lies within the
   * first segment or the second; else -1.
   */
  readableAt(offset: number, length: number): number {
    return this.#at(0, this.readableCount, offset, length);
  }

  /** The same for the writable part. */
  writableAt(offset: number, length: number): number {
    return this.#at(this.readableCount, this.count, offset, length);
  }

  /** Views of [offset, offset + length) of the readable part, not copies; appended to `views`. */
  readable(offset: number, length: number, views: Uint8Array[] = []): Uint8Array[] {
    return this.#views(0, this.readableCount, offset, length, views);
  }

  /** Views of [offset, offset + length) of the writable part, not copies. */
  writable(offset: number, length: number): Uint8Array[] {
    return this.#views(this.readableCount, this.count, offset, length, []);
  }

  /** Copies from the readable part at `offset` into target; returns the bytes copied. */
  copyFrom(offset: number, target: Uint8Array): number {
    let at = 0;
    for (const part of this.readable(offset, target.length)) {
      target.set(part, at);
      at += part.length;
    }
    return at;
  }

  /** Copies source into the writable part at `offset`; returns the bytes that fitted. */
  copyTo(offset: number, source: Uint8Array): number {
    const address = this.writableAt(offset, source.length);
    if (address >= 0) {
      this.#queue.memory.u8.set(source, address);
      return source.length;
    }
    let at = 0;
    for (const part of this.writable(offset, source.length)) {
      part.set(source.subarray(at, at + part.length));
      at += part.length;
    }
    return at;
  }

  #at(first: number, end: number, offset: number, length: number): number {
    let i = first;
    if (i < end && offset >= (this.lengths[i] as number)) {
      offset -= this.lengths[i] as number;
      i++;
    }
    if (i >= end || offset + length > (this.lengths[i] as number)) return -1;
    return (this.addresses[i] as number) + offset;
  }

  #views(
    first: number,
    end: number,
    offset: number,
    length: number,
    views: Uint8Array[],
  ): Uint8Array[] {
    const u8 = this.#queue.memory.u8;
    for (let i = first; i < end && length > 0; i++) {
      const bytes = this.lengths[i] as number;
      if (offset >= bytes) {
        offset -= bytes;
        continue;
      }
      const start = (this.addresses[i] as number) + offset;
      const take = Math.min(bytes - offset, length);
      views.push(u8.subarray(start, start + take));
      length -= take;
      offset = 0;
    }
    return views;
  }
}
