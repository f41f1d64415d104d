// From the guest to the socket of one connection: how much the guest may send, and how that shrinks
// while the client takes nothing.
import { VIRTIO_VSOCK_TYPE_SEQPACKET } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Budget } from "../budget.ts";
import type { RingShare } from "../rings/ring-share.ts";
import type { Credit } from "./credit.ts";
import type { Ledger } from "./ledger.ts";
import { Outbound } from "./outbound.ts";
import { Patience } from "./patience.ts";

export class Sender {
  readonly out: Outbound;
  readonly #budget: Budget;
  readonly #credit: Credit;
  readonly #ledger: Ledger;
  readonly #fixed: boolean; // the window is never resized
  #charged: number;
  /** Did the last look find that the client takes its bytes? */
  moves = false;
  #slow = false;
  #isSilent = true; // the client has sent nothing yet
  #patience: Patience | null = null; // made on first use

  constructor(share: RingShare, budget: Budget, credit: Credit, ledger: Ledger, type: number) {
    this.out = new Outbound(share, ledger);
    this.#budget = budget;
    this.#credit = credit;
    this.#ledger = ledger;
    this.#fixed = type === VIRTIO_VSOCK_TYPE_SEQPACKET;
    this.#charged = credit.bufAlloc;
  }

  /** The number of the send in flight; 0: there is none. */
  get sending(): number {
    return this.out.inFlight;
  }

  /** Bytes of the device's budget. */
  get charged(): number {
    return this.#charged;
  }

  /** The client has sent something: make room for the whole answer, unless bytes still wait. */
  heard(): void {
    if (!this.#isSilent) return;
    this.#isSilent = false;
    if (!this.#fixed && this.#credit.held === 0) this.#grow();
  }

  /** Sends what was taken. True: a credit update is due. */
  flush(socket: StreamSocket): boolean {
    return this.consumed(this.out.flush(socket));
  }

  /** The kernel has the send in flight. True: as flush(). */
  sent(): boolean {
    this.#slow = false;
    return this.consumed(this.out.complete());
  }

  /** The kernel took bytes. True: a credit update is due. */
  consumed(length: number): boolean {
    if (length === 0) return false;
    const credit = this.#credit;
    credit.consumed(length);
    this.#ledger.fromGuest(length);
    if (this.#charged > credit.bufAlloc) this.#settle();
    if (!credit.updateDue) return false;
    if (!this.#fixed && !this.#slow) this.#grow();
    return true;
  }

  /** Another send is in flight. */
  begin(): void {
    this.#patience?.begin();
  }

  /**
   * The send has been in flight for another second. True: a credit update is due, for new credit or
   * as a sign that the client is alive.
   */
  look(unsent = Number.POSITIVE_INFINITY, unacknowledged = -1): boolean {
    this.#patience ??= new Patience();
    const taken = this.out.progress(unsent);
    const isAlive = this.#patience.look(taken, unacknowledged);
    this.#slow = true;
    this.moves = taken > 0 || (isAlive && unacknowledged >= 0);
    this.consumed(taken);
    return (taken === 0 && this.#shrink()) || taken > 0 || isAlive;
  }

  #grow(): void {
    const window = this.#budget.grow(this.#credit.bufAlloc, this.#charged);
    this.#charged = Math.max(this.#charged, window);
    this.#credit.resize(window);
  }

  #shrink(): boolean {
    const { least } = this.#budget;
    if (this.#fixed || this.#credit.bufAlloc <= least) return false;
    this.#credit.resize(least);
    this.#settle();
    return true;
  }

  /** Returns to the budget what the guest can no longer use. */
  #settle(): void {
    const charged = Math.max(this.#credit.bufAlloc, this.#credit.exposed);
    this.#budget.shrink(this.#charged - charged);
    this.#charged = charged;
  }
}
