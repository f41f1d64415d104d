// The guest's receive buffers: best fit by size class. A packet takes the smallest buffer that
// holds it; larger or smaller ones that came first wait on shelves, one for each power of two. With
// buffers of one size nothing waits, and the ring is first in, first out.
//
// A chain may also be reserved before there is a packet, for a socket to read into (landing.ts).
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../../abi/vsock.ts";
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";
import type { PacketTap } from "./tap.ts";

/** Shelf k holds capacities of k bits; the last one also holds all larger ones. */
const SHELVES = 32;
/** One in this many buffers may be reserved. */
const RESERVED_SHARE = 4;

export class RxRing {
  readonly queue: VirtQueue;
  /** Chains that sockets of the host may read into. */
  reserved = 0;
  /** Sees every packet. */
  tap: PacketTap | null;
  readonly #stats: VsockStats;
  readonly #shelves: Chain[][] = Array.from({ length: SHELVES }, () => []);
  /** The smallest capacity ever seen on each shelf. */
  readonly #least: number[] = Array(SHELVES).fill(Number.POSITIVE_INFINITY);
  #seen = 0; // bit per shelf
  #population = 0; // the most buffers that were ever posted at a time

  constructor(queue: VirtQueue, stats: VsockStats, tap: PacketTap | null) {
    this.queue = queue;
    this.#stats = stats;
    this.tap = tap;
  }

  /**
   * A chain for a packet with `length` payload bytes: the smallest that holds it, else the largest.
   * It has room for a header. null: there is none, and the driver will kick when it posts more.
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

  /** Returns a chain to the guest with a packet of `written` bytes, or 0 for none. */
  give(chain: Chain, written: number): void {
    if (this.tap !== null && written > 0) this.tap.toGuest(chain, written);
    chain.release(written);
  }

  /** Chains that the guest has posted and that are still empty. */
  get posted(): number {
    return this.queue.inFlight + this.queue.available;
  }

  /**
   * Reserves a chain of the largest size for a read. null: its payload part is fragmented or
   * smaller than `least`, there is no chain, or too many are reserved already.
   */
  reserve(least: number): Chain | null {
    this.#population = Math.max(this.#population, this.posted);
    if ((this.reserved + 1) * RESERVED_SHARE > this.#population) return null;
    const chain = this.take(VSOCK_PACKET_BYTES_MAX);
    if (chain === null) return null;
    if (payloadRoom(chain) < least) {
      this.#shelves[shelfOf(chain)]?.push(chain);
      return null;
    }
    this.reserved++;
    return chain;
  }

  /** Returns a reserved chain to the guest, with a packet of `written` bytes. */
  giveReserved(chain: Chain, written: number): void {
    this.reserved--;
    this.give(chain, written);
  }

  /** Undoes reserve(). Nothing may write into the chain any more. */
  unreserve(chain: Chain): void {
    this.reserved--;
    this.#shelves[shelfOf(chain)]?.push(chain);
  }

  /** The shelf to take from: the lowest whose chains all hold `length`, or else the highest. */
  #wanted(length: number): number {
    for (let rest = this.#seen & (-1 << bits(length)); rest !== 0; rest &= rest - 1) {
      const shelf = 31 - Math.clz32(rest & -rest);
      if ((this.#least[shelf] as number) >= length) return shelf;
    }
    return 31 - Math.clz32(this.#seen);
  }

  /** When the ring is empty: from the nearest shelf above, else from the nearest below. */
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

/** Payload bytes that one read can put into the chain; 0: it is fragmented. */
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
