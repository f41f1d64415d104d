// Split virtqueue, device half (virtio 2.7). Nothing in the rings is trusted. A malformed chain is
// returned empty; inconsistent rings break the queue, and its device asks for a reset.
import {
  availBytes,
  descBytes,
  needEvent,
  usedBytes,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VirtqAvail,
  VirtqDesc,
  VirtqUsed,
  VirtqUsedElem,
} from "../abi/virtio.ts";
import type { Allowance } from "./allowance.ts";
import { GuestError, type GuestMemory } from "./memory.ts";

export interface QueueOptions {
  /** Names the queue in errors, as in "vsock rx". */
  readonly name: string;
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  readonly indirect: boolean;
  readonly eventIdx: boolean;
  /** Work that the device may still do in this turn, over all its queues. null: no limit. */
  readonly allowance?: Allowance | null;
  /** Interrupts the driver: buffers were used. Called by signal() only. */
  readonly interrupt: () => void;
  /** A chain was malformed, and has been returned empty. */
  readonly rejected: (error: GuestError) => void;
  /** The rings are inconsistent: the queue takes no more chains, the device needs a reset. */
  readonly broken: (error: GuestError) => void;
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
  readonly #queue: VirtQueue;

  constructor(queue: VirtQueue) {
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

/**
 * The device's half of a split virtqueue (virtio 2.7). Iterating it takes the chains that are
 * available.
 */
export class VirtQueue {
  readonly memory: GuestMemory;
  readonly size: number;
  /** Chains that the device holds. */
  inFlight = 0;
  readonly #options: QueueOptions;
  readonly #view: DataView;
  readonly #held: Uint8Array; // by head: 1 while the device holds the chain
  readonly #spare: Chain[] = [];
  #lastAvail = 0;
  #usedIdx = 0;
  #signalled = 0; // #usedIdx when the driver's interrupt suppression was last checked
  #epoch = 0;
  #dead = false;

  /** Throws GuestError if size, alignment or place of the rings are invalid (2.7, S1). */
  constructor(memory: GuestMemory, options: QueueOptions) {
    const { name, size, desc, avail, used } = options;
    if (size < 1 || size > 32768 || (size & (size - 1)) !== 0) {
      throw new GuestError(`${name}: queue size ${size}`);
    }
    if ((desc & 15) !== 0 || (avail & 1) !== 0 || (used & 3) !== 0) {
      throw new GuestError(`${name}: rings are not aligned`);
    }
    this.memory = memory;
    this.size = size;
    this.#view = memory.view;
    this.#options = {
      ...options,
      desc: memory.check(desc, descBytes(size)),
      avail: memory.check(avail, availBytes(size)),
      used: memory.check(used, usedBytes(size)),
    };
    this.#held = new Uint8Array(size);
  }

  /** Where the rings are in guest memory, for tools that inspect them. */
  get rings(): { readonly desc: number; readonly avail: number; readonly used: number } {
    return this.#options;
  }

  /** Chains that the driver has made available and the device has not taken. */
  get available(): number {
    const idx = this.#view.getUint16(this.#options.avail + VirtqAvail.idx, true);
    return this.#dead ? 0 : Math.min((idx - this.#lastAvail) & 0xffff, this.size);
  }

  /**
   * The next request. null: there is none, and the driver will kick when there is; or the allowance
   * of this turn is used up, and the device is notified in the next one. Never throws.
   */
  pop(): Chain | null {
    const { avail, used, eventIdx, allowance } = this.#options;
    while (!this.#dead) {
      const pending =
        (this.#view.getUint16(avail + VirtqAvail.idx, true) - this.#lastAvail) & 0xffff;
      if (pending === 0) {
        if (eventIdx) {
          const event = used + VirtqUsed.ring + this.size * VirtqUsedElem.sizeof;
          this.#view.setUint16(event, this.#lastAvail, true);
        }
        return null;
      }
      if (allowance?.grants() === false) return null;
      if (pending > this.size) return this.#break(`available index runs ${pending} ahead`);
      const slot = avail + VirtqAvail.ring + (this.#lastAvail & (this.size - 1)) * 2;
      const head = this.#view.getUint16(slot, true);
      if (head >= this.size) return this.#break(`available entry ${head}`);
      if (this.#held[head] === 1) return this.#break(`head ${head} is already in flight`);
      this.#lastAvail = (this.#lastAvail + 1) & 0xffff;
      const chain = this.#spare.pop() ?? new Chain(this);
      chain.head = head;
      chain.epoch = this.#epoch;
      this.#held[head] = 1;
      this.inFlight++;
      const fault = this.#parse(chain);
      allowance?.charge(chain.count, chain.readableBytes + chain.writableBytes);
      if (fault === "") return chain;
      this.push(chain, 0);
      this.#options.rejected(new GuestError(`${this.#options.name}: head ${head}: ${fault}`));
    }
    return null;
  }

  /** Takes available chains one by one. */
  *[Symbol.iterator](): Iterator<Chain> {
    for (let chain = this.pop(); chain !== null; chain = this.pop()) yield chain;
  }

  /** Use Chain.live. */
  holds(chain: Chain): boolean {
    return chain.epoch === this.#epoch && this.#held[chain.head] === 1;
  }

  /** Use Chain.release(). */
  push(chain: Chain, written: number): void {
    if (!this.holds(chain)) return;
    const { used } = this.#options;
    const slot = used + VirtqUsed.ring + (this.#usedIdx & (this.size - 1)) * VirtqUsedElem.sizeof;
    this.#view.setUint32(slot + VirtqUsedElem.id, chain.head, true);
    this.#view.setUint32(slot + VirtqUsedElem.len, written, true);
    // The element before the index: the driver may look at any time (2.7.8).
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    this.#view.setUint16(used + VirtqUsed.idx, this.#usedIdx, true);
    this.#held[chain.head] = 0;
    this.inFlight--;
    this.#spare.push(chain);
  }

  /**
   * Interrupts if buffers were used since the last call, unless the driver suppresses it (2.7.7).
   */
  signal(): void {
    const old = this.#signalled;
    if (old === this.#usedIdx || this.#dead) return;
    this.#signalled = this.#usedIdx;
    const { avail, eventIdx } = this.#options;
    const wanted = eventIdx
      ? needEvent(
          this.#view.getUint16(avail + VirtqAvail.ring + this.size * 2, true),
          this.#usedIdx,
          old,
        )
      : (this.#view.getUint16(avail + VirtqAvail.flags, true) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    if (wanted) this.#options.interrupt();
  }

  /** The queue was stopped: late releases do nothing, and no ring is touched again. */
  detach(): void {
    this.#epoch++;
    this.#dead = true;
    this.inFlight = 0;
  }

  #break(fact: string): null {
    this.#dead = true;
    this.#options.broken(new GuestError(`${this.#options.name}: ${fact}`));
    return null;
  }

  /** Fills the chain from its descriptors. Returns the fault in them, or "". */
  #parse(chain: Chain): string {
    const view = this.#view;
    const memory = this.memory;
    chain.count = chain.readableCount = chain.readableBytes = chain.writableBytes = 0;
    let table = this.#options.desc;
    let entries = this.size;
    let index = chain.head;
    let indirect = false;
    // A chain is never longer than the queue, so a loop in it ends here (2.7.5.3.1).
    for (let seen = 0; seen <= this.size; seen++) {
      const at = table + index * VirtqDesc.sizeof;
      const address = view.getUint32(at + VirtqDesc.addr, true);
      const high = view.getUint32(at + VirtqDesc.addr + 4, true);
      const length = view.getUint32(at + VirtqDesc.len, true);
      const flags = view.getUint16(at + VirtqDesc.flags, true);
      if (high !== 0 || !memory.contains(address, length)) return "buffer outside memory";
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (!this.#options.indirect) return "INDIRECT without the feature";
        if (indirect) return "INDIRECT inside an indirect table";
        if ((flags & VIRTQ_DESC_F_NEXT) !== 0) return "INDIRECT with NEXT";
        if (length === 0 || length % VirtqDesc.sizeof !== 0)
          return `indirect table of ${length} bytes`;
        indirect = true;
        table = address;
        entries = length / VirtqDesc.sizeof;
        index = 0;
        seen--; // the descriptor that points at the table is not part of the chain
        continue;
      }
      if (chain.count === this.size) break;
      if ((flags & VIRTQ_DESC_F_WRITE) !== 0) {
        chain.writableBytes += length;
      } else {
        if (chain.writableBytes > 0 || chain.readableCount < chain.count) {
          return "readable after writable";
        }
        chain.readableCount++;
        chain.readableBytes += length;
      }
      chain.addresses[chain.count] = address;
      chain.lengths[chain.count] = length;
      chain.count++;
      if (chain.readableBytes + chain.writableBytes > 0xffffffff) return "more than 4 GiB";
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return "";
      index = view.getUint16(at + VirtqDesc.next, true);
      if (index >= entries) return `next ${index}`;
    }
    return "longer than the queue";
  }
}
