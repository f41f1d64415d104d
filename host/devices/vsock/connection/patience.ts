// Is a client slow, or dead? When the kernel has taken nothing of a send for a second it may take
// nothing for minutes more, while the client reads on: a Linux socket is writable again when a
// third of its buffer is free, and that is megabytes. So it is asked what the client's own kernel
// has acknowledged. Even that comes in steps, tens of seconds apart where the client reads two
// kilobytes a second (it advertises its window in large steps, RFC 9293 3.8.6.2.2): bytes that were
// taken pay for the seconds to come.
import { VSOCK_PROGRESS_BYTES } from "../../../../abi/vsock.ts";

/** What can be paid in advance: the largest step that a client's window makes, some 64 KiB. */
const PAID_BYTES_MAX = 128 * VSOCK_PROGRESS_BYTES;
/** A send that the kernel does not take at once begins with so much: the first step may be far. */
const FIRST_BYTES = 40 * VSOCK_PROGRESS_BYTES;
/** Where acknowledgements are not known, every byte that the kernel takes pays for a minute. */
const UNKNOWN_BYTES = 60 * VSOCK_PROGRESS_BYTES;

export class Patience {
  #unacknowledged = -1; // at the last look
  #paid = 0;
  #begun = false;

  /** Another send: what has been paid for stays. */
  begin(): void {
    this.#begun = false;
    this.#unacknowledged = -1;
  }

  /**
   * Another second is over. `taken`: bytes that the kernel took in it; `unacknowledged`: those that
   * it has and the client's has not, -1 if that is not known. True: the client takes what it gets,
   * though the kernel took nothing.
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
