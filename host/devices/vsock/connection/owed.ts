// Packets that a connection owes the guest: a bit for each operation, paid in fixed order as rx
// buffers come. RW and CREDIT_REQUEST have no bit; they follow from the payload that waits.
import { VsockOp } from "../../../../abi/vsock.ts";
import type { Credit } from "./credit.ts";

/** The receiving side, as far as packets follow from it. */
interface Waiting {
  /** Payload bytes that wait to be sent to the guest. */
  readonly waiting: number;
  /** Did reading stop only because credit ran out? */
  readonly starved: boolean;
}

export class Owed {
  readonly #credit: Credit;
  readonly #in: Waiting;
  #ops = 0;
  #creditAsked = false;

  constructor(credit: Credit, receiver: Waiting) {
    this.#credit = credit;
    this.#in = receiver;
  }

  has(op: VsockOp): boolean {
    return (this.#ops & (1 << op)) !== 0;
  }

  /** RST replaces everything else. */
  add(op: VsockOp): void {
    this.#ops = op === VsockOp.RST ? 1 << op : this.#ops | (1 << op);
  }

  /** The next packet of a connection that is established or not; INVALID: none. */
  next(isEstablished: boolean): VsockOp {
    if (this.has(VsockOp.RST)) return VsockOp.RST;
    if (this.has(VsockOp.RESPONSE)) return VsockOp.RESPONSE;
    if (this.has(VsockOp.REQUEST)) return VsockOp.REQUEST;
    if (!isEstablished) return VsockOp.INVALID;
    const credit = this.#credit.available;
    if (this.#in.waiting > 0) {
      if (credit > 0) return VsockOp.RW;
      if (!this.#creditAsked) return VsockOp.CREDIT_REQUEST;
    } else if (this.has(VsockOp.SHUTDOWN)) {
      return VsockOp.SHUTDOWN;
    } else if (credit === 0 && this.#in.starved && !this.#creditAsked) {
      return VsockOp.CREDIT_REQUEST;
    }
    return this.has(VsockOp.CREDIT_UPDATE) ? VsockOp.CREDIT_UPDATE : VsockOp.INVALID;
  }

  /** It was sent; and any packet carries a credit update. */
  paid(op: VsockOp): void {
    this.#ops &= ~((1 << op) | (1 << VsockOp.CREDIT_UPDATE));
    if (op === VsockOp.CREDIT_REQUEST) this.#creditAsked = true;
  }

  /** The guest has given credit. */
  answered(): void {
    this.#creditAsked = false;
  }

  forget(): void {
    this.#ops = 0;
  }
}
