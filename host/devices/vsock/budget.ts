// What the device may have to hold for slow readers, over all connections: the sum of the buf_alloc
// that it advertises. Every connection gets a window when it begins, a larger one while its client
// takes what it gets, a small one when it does not, and gives it back when it is gone.
import { VIRTIO_VSOCK_TYPE_STREAM } from "../../../abi/vsock.ts";
import type { VsockLimits } from "./hub.ts";

/** No window is smaller, unless the largest one is. */
const BUF_ALLOC_MIN = 16 * 1024;
/** Of a connection that begins: nobody knows yet what its client takes. */
const BUF_ALLOC_FIRST = 64 * 1024;
/** A window grows so many times at once. */
const GROWTH = 4;
/**
 * A window takes at most this fraction of what is not reserved: the first few hundred are
 * full-size.
 */
const SHARES = 64;

export class Budget {
  /** Of a client that takes nothing. */
  readonly least: number;
  readonly #first: number;
  readonly #most: number;
  #left: number;
  #connectionsLeft: number;

  constructor({ connections, bufAlloc, bufAllocTotal }: VsockLimits) {
    this.least = Math.min(BUF_ALLOC_MIN, bufAlloc);
    this.#first = Math.min(BUF_ALLOC_FIRST, bufAlloc);
    this.#most = bufAlloc;
    this.#left = bufAllocTotal;
    this.#connectionsLeft = connections;
  }

  /**
   * The window of one more connection, in bytes, which the caller gives back; 0: no room for
   * another. A smallest window stays reserved for each connection that may come later. That of
   * messages is as large as it will be: what is larger can never be sent.
   */
  take(type = VIRTIO_VSOCK_TYPE_STREAM): number {
    if (this.#connectionsLeft === 0 || this.#left < this.least) return 0;
    const most = type === VIRTIO_VSOCK_TYPE_STREAM ? this.#first : this.#most;
    const window = Math.min(this.#fair, most);
    this.#left -= window;
    this.#connectionsLeft--;
    return window;
  }

  /** A larger window than `window`, or the same, of a connection that has `charged` bytes. */
  grow(window: number, charged: number): number {
    const larger = Math.min(window * GROWTH, this.#fair, this.#most);
    const more = Math.max(0, larger - charged);
    if (larger <= window || more > this.#left) return window;
    this.#left -= more;
    return larger;
  }

  /** A connection has less than it had. */
  shrink(bytes: number): void {
    this.#left += bytes;
  }

  /** A connection is gone, which had so many bytes. */
  give(window: number): void {
    this.#left += window;
    this.#connectionsLeft++;
  }

  get #fair(): number {
    const spare = Math.max(0, this.#left - this.#connectionsLeft * this.least);
    return this.least + Math.floor(spare / SHARES);
  }
}
