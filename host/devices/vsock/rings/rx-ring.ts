// The guest's receive buffers. Where they differ in size, a packet takes the smallest one that
// holds it: those that were passed over wait on shelves, by size. Where they are all alike nothing
// waits, and the ring is first in, first out.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../../abi/vsock.ts";
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";
import type { PacketTap } from "./capture.ts";

/** Shelf k holds capacities of k bits; what has more bits than the last one is there, too. */
const SHELVES = 32;
/** Of all buffers one in 4 may wait for bytes to come. */
const ARMED_SHARE = 4;

export class RxRing {
  readonly queue: VirtQueue;
  /** Chains that wait in sockets of the host for bytes to come. */
  armed = 0;
  readonly #stats: VsockStats;
  readonly #tap: PacketTap | null;
  readonly #shelves: Chain[][] = Array.from({ length: SHELVES }, () => []);
  /** The least capacity that was ever seen of each shelf. */
  readonly #least: number[] = Array(SHELVES).fill(Number.POSITIVE_INFINITY);
  #seen = 0; // bit per shelf
  #population = 0; // the most that the device has ever had or could have had

  constructor(queue: VirtQueue, stats: VsockStats, tap: PacketTap | null) {
    this.queue = queue;
    this.#stats = stats;
    this.#tap = tap;
  }

  /**
   * A chain for a packet with `length` payload bytes: the smallest that holds it, else the largest;
   * null: there is none, and the driver's next kick is asked for. It has room for a header.
   */
  take(length: number): Chain | null {
    const wanted = this.#wanted(length);
    const kept = wanted < 0 ? undefined : this.#shelves[wanted]?.pop();
    if (kept !== undefined) return kept;
    for (let chain = this.queue.pop(); chain !== null; chain = this.queue.pop()) {
      if (!carriesPacket(chain)) {
        this.#stats.rejected++;
        chain.release(0);
        continue;
      }
      const shelf = this.#notice(chain);
      if (shelf === this.#wanted(length)) return chain;
      this.#shelves[shelf]?.push(chain);
    }
    return this.#substitute(length);
  }

  /** The guest gets a chain with a packet of `written` bytes; 0: there is none in it. */
  give(chain: Chain, written: number): void {
    if (this.#tap !== null && written > 0) this.#tap.toGuest(chain, written);
    chain.release(written);
  }

  /** Chains that the guest has posted and nothing is in yet. */
  get posted(): number {
    return this.queue.inFlight + this.queue.available;
  }

  /**
   * A chain of the largest size for bytes that are to be read into it, or null: if its payload part
   * is in pieces or below `least` bytes, if there is none, or if too many are out already.
   */
  arm(least: number): Chain | null {
    this.#population = Math.max(this.#population, this.posted);
    if ((this.armed + 1) * ARMED_SHARE > this.#population) return null;
    const chain = this.take(VSOCK_PACKET_BYTES_MAX);
    if (chain === null) return null;
    if (payloadRoom(chain) < least) {
      this.#shelves[shelfOf(chain)]?.push(chain);
      return null;
    }
    this.armed++;
    return chain;
  }

  /** An armed chain is used: the guest gets it with a packet of `written` bytes. */
  use(chain: Chain, written: number): void {
    this.armed--;
    this.give(chain, written);
  }

  /** An armed chain was not used. Nothing may write into it any more. */
  back(chain: Chain): void {
    this.armed--;
    this.#shelves[shelfOf(chain)]?.push(chain);
  }

  /** The shelf to take from: the lowest whose chains all hold `length`, else the highest. */
  #wanted(length: number): number {
    for (let rest = this.#seen & (-1 << bits(length)); rest !== 0; rest &= rest - 1) {
      const shelf = 31 - Math.clz32(rest & -rest);
      if ((this.#least[shelf] as number) >= length) return shelf;
    }
    return 31 - Math.clz32(this.#seen);
  }

  /** From the shelves, when the ring has nothing more: as near above as possible, else below. */
  #substitute(length: number): Chain | null {
    const first = this.#wanted(length);
    if (first < 0) return null;
    for (let shelf = first; shelf < SHELVES; shelf++) {
      const chain = this.#shelves[shelf]?.pop();
      if (chain !== undefined) return chain;
    }
    for (let shelf = first - 1; shelf >= 0; shelf--) {
      const chain = this.#shelves[shelf]?.pop();
      if (chain !== undefined) return chain;
    }
    return null;
  }

  #notice(chain: Chain): number {
    const shelf = shelfOf(chain);
    const capacity = chain.writableBytes - VsockHdr.sizeof;
    if (capacity < (this.#least[shelf] as number)) {
      this.#least[shelf] = capacity;
      this.#seen |= 1 << shelf;
    }
    return shelf;
  }
}

/** Payload bytes that can be read into the chain in one piece; 0: it is in pieces. */
export function payloadRoom(chain: Chain): number {
  const bytes = Math.min(chain.writableBytes - VsockHdr.sizeof, VSOCK_PACKET_BYTES_MAX);
  return bytes > 0 && chain.writableAt(VsockHdr.sizeof, bytes) >= 0 ? bytes : 0;
}

/** Can this rx chain take a packet at all? (V11, K15) */
function carriesPacket(chain: Chain): boolean {
  return chain.readableCount === 0 && chain.writableBytes >= VsockHdr.sizeof;
}

function shelfOf(chain: Chain): number {
  return bits(chain.writableBytes - VsockHdr.sizeof);
}

function bits(bytes: number): number {
  return Math.min(32 - Math.clz32(bytes), SHELVES - 1);
}
