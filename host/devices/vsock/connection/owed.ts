// What a connection owes the guest: a bit for each operation. RW and CREDIT_REQUEST are never owed;
// they follow from what waits.
import { VsockOp } from "../../../../abi/vsock.ts";
import type { Credit } from "./credit.ts";
import type { Receiver } from "./receiver.ts";

export class Owed {
  readonly #credit: Credit;
  readonly #in: Receiver;
  #ops = 0;
  #creditAsked = false;

  constructor(credit: Credit, receiver: Receiver) {
    this.#credit = credit;
    this.#in = receiver;
  }

  has(op: VsockOp): boolean {
    return (this.#ops & (1 << op)) !== 0;
  }

  /** With RST nothing else is to be said. */
  add(op: VsockOp): void {
    this.#ops = op === VsockOp.RST ? 1 << op : this.#ops | (1 << op);
  }

  /** The next packet of a connection that is established, or not; INVALID: there is none. */
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

  /** It was sent, and every packet updates credit. */
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
