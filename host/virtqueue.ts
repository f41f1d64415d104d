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
import { Chain } from "./chain.ts";
import { GuestError, type GuestMemory } from "./memory.ts";
import type { RingState } from "./snapshot/register-state.ts";

export { Chain } from "./chain.ts";

export interface QueueOptions {
  /** Names the queue in errors, as in "vsock rx". */
  readonly name: string;
  readonly size: number;
  /** Where the rings are: u32. */
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
  #owed: number[] = []; // heads that were held when a snapshot was taken; pop() gives them first
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
    memory.check(desc, descBytes(size));
    memory.check(avail, availBytes(size));
    memory.check(used, usedBytes(size));
    this.#options = options;
    this.#held = new Uint8Array(size);
  }

  /** Where the rings are in guest memory, for tools that inspect them. */
  get rings(): { readonly desc: number; readonly avail: number; readonly used: number } {
    return this.#options;
  }

  /** Chains that the driver has made available and the device has not taken. */
  get available(): number {
    const idx = this.#view.getUint16(this.#options.avail + VirtqAvail.idx, true);
    const pending = Math.min((idx - this.#lastAvail) & 0xffff, this.size);
    return this.#dead ? 0 : pending + this.#owed.length;
  }

  /**
   * The next request. null: there is none, and the driver will kick when there is; or the allowance
   * of this turn is used up, and the device is notified in the next one. Never throws.
   */
  pop(): Chain | null {
    const { avail, used, eventIdx, allowance } = this.#options;
    while (!this.#dead) {
      if (this.#owed.length > 0) {
        if (allowance?.grants() === false) return null;
        const chain = this.#take(this.#owed.shift() as number);
        if (chain !== null) return chain;
        continue;
      }
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
      const chain = this.#take(head);
      if (chain !== null) return chain;
    }
    return null;
  }

  /** The chain with that head, which is the device's now; null: it was malformed. */
  #take(head: number): Chain | null {
    const { allowance } = this.#options;
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
    if (this.#use(chain, written)) this.#publish();
  }

  /**
   * Returns chains of this queue in that order, each with the bytes written to it. The driver sees
   * all of them or none.
   */
  pushTogether(chains: readonly Chain[], written: readonly number[]): void {
    let isUsed = false;
    for (let i = 0; i < chains.length; i++) {
      if (this.#use(chains[i] as Chain, written[i] as number)) isUsed = true;
    }
    if (isUsed) this.#publish();
  }

  /** False: the queue was stopped, or the chain has been returned. */
  #use(chain: Chain, written: number): boolean {
    if (!this.holds(chain)) return false;
    const slot = this.#usedIdx & (this.size - 1);
    const at = this.#options.used + VirtqUsed.ring + slot * VirtqUsedElem.sizeof;
    this.#view.setUint32(at + VirtqUsedElem.id, chain.head, true);
    this.#view.setUint32(at + VirtqUsedElem.len, written, true);
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    this.#held[chain.head] = 0;
    this.inFlight--;
    this.#spare.push(chain);
    return true;
  }

  /** The index follows the elements: the driver may look at any time (2.7.8). */
  #publish(): void {
    this.#view.setUint16(this.#options.used + VirtqUsed.idx, this.#usedIdx, true);
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

  /** Where the queue stands, for restore() of another one. */
  save(): RingState {
    const held = Array.from(this.#held.keys()).filter((head) => this.#held[head] === 1);
    const [lastAvail, usedIdx, signalled] = [this.#lastAvail, this.#usedIdx, this.#signalled];
    return { lastAvail, usedIdx, signalled, broken: this.#dead, held };
  }

  /**
   * A new queue stands where another did. Chains that its device held are parsed again, and handed
   * out before those in the ring. Throws GuestError if there can be no such chains.
   */
  restore({ lastAvail, usedIdx, signalled, broken, held }: RingState): void {
    for (const head of held) {
      if (head >= this.size || this.#held[head] === 1) {
        throw new GuestError(`${this.#options.name}: held head ${head} of ${this.size}`);
      }
      this.#held[head] = 1;
    }
    this.#owed = [...held];
    this.#lastAvail = lastAvail;
    this.#usedIdx = usedIdx;
    this.#signalled = signalled;
    this.#dead = broken;
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
