// What a connection owes the guest: a bit for each operation. RW and CREDIT_REQUEST are never owed;
// they follow from what waits.
import { VsockOp } from "../../../drivers/abi/vsock.ts";

export class Owed {
  #ops = 0;

  has(op: VsockOp): boolean {
    return (this.#ops & (1 << op)) !== 0;
  }

  /** With RST nothing else is to be said. */
  add(op: VsockOp): void {
    this.#ops = op === VsockOp.RST ? 1 << op : this.#ops | (1 << op);
  }

  /** It was sent, and every packet updates credit. */
  paid(op: VsockOp): void {
    this.#ops &= ~((1 << op) | (1 << VsockOp.CREDIT_UPDATE));
  }

  forget(): void {
    this.#ops = 0;
  }
}
