// The guest's receive buffers, where a frame takes as many as it fills (MRG_RXBUF, virtio 5.1.6.4).
import { NetHdr } from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import type { ReceiveBuffers } from "./rx-ring.ts";
import type { NetStats } from "./stats.ts";

export class MergeRing implements ReceiveBuffers {
  readonly queue: VirtQueue;
  readonly #stats: NetStats;
  /** Buffers that have been taken from the ring and wait for frames, in its order. */
  #waiting: Chain[] = [];
  #waitingBytes = 0;
  /** Buffers that the guest had posted at most. */
  #most = 0;

  constructor(queue: VirtQueue, stats: NetStats) {
    this.queue = queue;
    this.#stats = stats;
  }

  /**
   * Has the guest buffers to post again, or was the allowance of this turn used up? If all that it
   * ever had are here, and do not hold the frame, no others will come (NW26).
   */
  get mayHold(): boolean {
    const here = this.#waiting.length;
    return here === 0 || here < this.#most || this.queue.available > 0;
  }

  take(bytes: number): readonly Chain[] | null {
    const needed = bytes + NetHdr.sizeof;
    this.#most = Math.max(this.#most, this.#waiting.length + this.queue.available);
    while (this.#waitingBytes < needed) {
      const chain = this.queue.pop();
      if (chain === null) return null;
      this.#add(chain);
    }
    let [count, room] = [0, 0];
    while (room < needed) room += (this.#waiting[count++] as Chain).writableBytes;
    this.#waitingBytes -= room;
    return this.#waiting.splice(0, count);
  }

  giveBack(chain: Chain): void {
    this.#waiting.unshift(chain);
    this.#waitingBytes += chain.writableBytes;
  }

  /** NW18: a buffer without room for a header is useless. */
  #add(chain: Chain): void {
    if (chain.readableCount > 0 || chain.writableBytes < NetHdr.sizeof) {
      this.#stats.rejected++;
      this.#most--;
      chain.release(0);
    } else {
      this.#waiting.push(chain);
      this.#waitingBytes += chain.writableBytes;
    }
  }
}
