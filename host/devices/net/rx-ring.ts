// The guest's receive buffers, where a frame takes one. It is the first that holds the frame;
// smaller ones that came first wait on shelves, one for each power of two, and are used for frames
// that they hold (NW34). With buffers of one size nothing waits, and the ring is first in, first
// out.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NetHdr } from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import type { NetStats } from "./stats.ts";

/** Shelf k holds capacities of k bits, in bytes of a frame. */
const SHELVES = 33;
/** A buffer that holds no frame at all is useless (NG7). */
const LEAST_BYTES = NetHdr.sizeof + EthernetHdr.sizeof;

/** The buffers that the guest has posted. */
export interface ReceiveBuffers {
  readonly queue: VirtQueue;
  /** take() has found nothing: may there be room later? Else a frame waits in vain. */
  readonly mayHold: boolean;
  /** Chains for a frame of `bytes`, valid until the next call; null: there are none. */
  take(bytes: number): readonly Chain[] | null;
  /** A chain that take() has returned, and that was not used: it is there again. */
  giveBack(chain: Chain): void;
}

export class RxRing implements ReceiveBuffers {
  readonly queue: VirtQueue;
  readonly #stats: NetStats;
  readonly #looksAtAll: boolean;
  readonly #shelves: Chain[][] = Array.from({ length: SHELVES }, () => []);
  readonly #taken: Chain[] = [];
  #shelved = 0;

  /** `looksAtAll`: finds one of the smallest, not the first. */
  constructor(queue: VirtQueue, stats: NetStats, looksAtAll = false) {
    this.queue = queue;
    this.#stats = stats;
    this.#looksAtAll = looksAtAll;
  }

  /** None is posted, or the allowance of this turn was used up before all of it was looked at. */
  get mayHold(): boolean {
    return this.#shelved === 0 || this.queue.available > 0;
  }

  take(bytes: number): readonly Chain[] | null {
    if (this.#looksAtAll) this.#find(Number.POSITIVE_INFINITY);
    const shelved = this.#shelved === 0 ? null : this.#fromShelves(bytes);
    const chain = shelved ?? this.#find(bytes);
    if (chain === null) return null;
    this.#taken[0] = chain;
    return this.#taken;
  }

  /** The first in the ring that holds a frame of `bytes`; smaller ones before it are shelved. */
  #find(bytes: number): Chain | null {
    for (let chain = this.queue.pop(); chain !== null; chain = this.queue.pop()) {
      if (chain.readableCount > 0 || chain.writableBytes < LEAST_BYTES) {
        this.#stats.rejected++;
        chain.release(0);
      } else if (capacityOf(chain) >= bytes) {
        return chain;
      } else {
        this.giveBack(chain);
      }
    }
    return null;
  }

  giveBack(chain: Chain): void {
    this.#shelves[bits(capacityOf(chain))]?.push(chain);
    this.#shelved++;
  }

  /** Of the shelf of its own size some may be too small; all of those above hold the frame. */
  #fromShelves(bytes: number): Chain | null {
    for (let i = bits(bytes); i < SHELVES; i++) {
      const shelf = this.#shelves[i] as Chain[];
      const at = shelf.findLastIndex((chain) => capacityOf(chain) >= bytes);
      if (at < 0) continue;
      this.#shelved--;
      return shelf.splice(at, 1)[0] as Chain;
    }
    return null;
  }
}

function capacityOf(chain: Chain): number {
  return chain.writableBytes - NetHdr.sizeof;
}

function bits(bytes: number): number {
  return 32 - Math.clz32(bytes);
}
