// Memory that the device may have to hold for slow readers: the sum of the windows (buf_alloc) that
// it advertises. A connection begins with a window, gets a larger one while its client keeps up, a
// small one while it does not, and returns it at its end.
import { VIRTIO_VSOCK_TYPE_STREAM } from "../../../abi/vsock.ts";
import type { VsockLimits } from "./limits.ts";

/** The smallest window, unless the largest one is smaller. */
const BUF_ALLOC_MIN = 16 * 1024;
/** The first window: it is not known yet how fast the client reads. */
const BUF_ALLOC_FIRST = 64 * 1024;
/** Factor by which a window grows. */
const GROWTH = 4;
/**
 * A window is at most this fraction of what is not reserved: the first few hundred are full-size.
 */
const SHARES = 64;

export class Budget {
  /** The window of a client that takes nothing. */
  readonly least: number;
  readonly #first: number;
  readonly #most: number;
  readonly #total: number;
  #left: number;
  #connectionsLeft: number;

  constructor({ connections, bufAlloc, bufAllocTotal }: VsockLimits) {
    this.least = Math.min(BUF_ALLOC_MIN, bufAlloc);
    this.#first = Math.min(BUF_ALLOC_FIRST, bufAlloc);
    this.#most = bufAlloc;
    this.#left = this.#total = bufAllocTotal;
    this.#connectionsLeft = connections;
  }

  /**
   * The window of one more connection, in bytes, which the caller returns; 0: no room for another.
   * A smallest window stays reserved for each connection that may come later. A window for messages
   * is never resized, because a larger message could not be sent at all.
   */
  take(type = VIRTIO_VSOCK_TYPE_STREAM): number {
    if (this.#connectionsLeft === 0 || this.#left < this.least) return 0;
    const most = type === VIRTIO_VSOCK_TYPE_STREAM ? this.#first : this.#most;
    const window = Math.min(this.#fair, most);
    this.#left -= window;
    this.#connectionsLeft--;
    return window;
  }

  /** A window larger than `window`, or the same, for a connection that is charged `charged`. */
  grow(window: number, charged: number): number {
    const larger = Math.min(window * GROWTH, this.#fair, this.#most);
    const more = Math.max(0, larger - charged);
    if (larger <= window || more > this.#left) return window;
    this.#left -= more;
    return larger;
  }

  /** A connection returns a part of its window. */
  shrink(bytes: number): void {
    this.#left += bytes;
  }

  /** A connection is gone, and returns its window. */
  give(window: number): void {
    this.#left += window;
    this.#connectionsLeft++;
  }

  /** Bytes that are in windows. */
  get granted(): number {
    return this.#total - this.#left;
  }

  get #fair(): number {
    const spare = Math.max(0, this.#left - this.#connectionsLeft * this.least);
    return this.least + Math.floor(spare / SHARES);
  }
}
