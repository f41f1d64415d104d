// The guest's receive buffers. A frame takes the first that holds it; smaller ones that came first
// wait on shelves, one for each power of two, and are used for frames that they hold (NW34). With
// buffers of one size nothing waits, and the ring is first in, first out.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NetHdr } from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import type { NetStats } from "./stats.ts";

/** Shelf k holds capacities of k bits, in bytes of a frame. */
const SHELVES = 33;
/** A buffer that holds no frame at all is useless (NG7). */
const LEAST_BYTES = NetHdr.sizeof + EthernetHdr.sizeof;

export class RxRing {
  readonly queue: VirtQueue;
  readonly #stats: NetStats;
  readonly #shelves: Chain[][] = Array.from({ length: SHELVES }, () => []);
  #shelved = 0;

  constructor(queue: VirtQueue, stats: NetStats) {
    this.queue = queue;
    this.#stats = stats;
  }

  /**
   * take() has found nothing: may there be room later? There is none posted, or the allowance of
   * this turn was used up before all of it was looked at.
   */
  get mayHold(): boolean {
    return this.#shelved === 0 || this.queue.available > 0;
  }

  /** A chain for a frame of `bytes`; null: none that is posted holds it. */
  take(bytes: number): Chain | null {
    const shelved = this.#shelved === 0 ? null : this.#fromShelves(bytes);
    if (shelved !== null) return shelved;
    for (let chain = this.queue.pop(); chain !== null; chain = this.queue.pop()) {
      if (chain.readableCount > 0 || chain.writableBytes < LEAST_BYTES) {
        this.#stats.rejected++;
        chain.release(0);
      } else if (capacityOf(chain) >= bytes) {
        return chain;
      } else {
        this.#shelves[bits(capacityOf(chain))]?.push(chain);
        this.#shelved++;
      }
    }
    return null;
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
