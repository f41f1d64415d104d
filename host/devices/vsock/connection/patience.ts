// Is a client slow, or dead? The kernel may take nothing of a send for minutes while the client
// reads: a Linux socket is writable again when a third of its buffer is free, which may be
// megabytes. So bytes that the client's kernel has acknowledged count as well. Even these come in
// steps, tens of seconds apart for a client that reads two kilobytes a second, because it
// advertises its window in large steps (RFC 9293 3.8.6.2.2). Hence an account: acknowledged bytes
// pay for seconds to come.
import { VSOCK_PROGRESS_BYTES } from "../../../../abi/vsock.ts";

/** The most that can be paid in advance: the largest step of a client's window, some 64 KiB. */
const PAID_BYTES_MAX = 128 * VSOCK_PROGRESS_BYTES;
/** Initial balance of a stalled send: the first step may be far away. */
const FIRST_BYTES = 40 * VSOCK_PROGRESS_BYTES;
/** If acknowledgements are not known, any byte that the kernel takes pays for a minute. */
const UNKNOWN_BYTES = 60 * VSOCK_PROGRESS_BYTES;

export class Patience {
  #unacknowledged = -1; // when last examined
  #paid = 0;
  #begun = false;

  /** Another send begins. The balance stays. */
  begin(): void {
    this.#begun = false;
    this.#unacknowledged = -1;
  }

  /**
   * Another second has passed. `taken`: bytes that the kernel took in it; `unacknowledged`: bytes
   * that it still holds for the client, -1: not known. True: the client is alive, though the kernel
   * took nothing.
   */
  look(taken: number, unacknowledged: number): boolean {
    if (!this.#begun) this.#paid = Math.max(this.#paid, FIRST_BYTES);
    if (unacknowledged < 0) {
      if (taken > 0 || !this.#begun) this.#paid = UNKNOWN_BYTES;
    } else if (this.#unacknowledged >= 0) {
      const acknowledged = Math.max(0, this.#unacknowledged + taken - unacknowledged);
      this.#paid = Math.min(this.#paid + acknowledged, PAID_BYTES_MAX);
    }
    this.#begun = true;
    this.#unacknowledged = unacknowledged;
    if (taken > 0 || this.#paid < VSOCK_PROGRESS_BYTES) return false;
    this.#paid -= VSOCK_PROGRESS_BYTES;
    return true;
  }
}
