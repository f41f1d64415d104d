// From the guest to the socket of one connection: what the guest may send, and what becomes of that
// with a client who takes nothing.
import { VIRTIO_VSOCK_TYPE_SEQPACKET } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Hub } from "../hub.ts";
import type { Credit } from "./credit.ts";
import type { Ledger } from "./ledger.ts";
import { Outbound } from "./outbound.ts";
import { Patience } from "./patience.ts";

export class Sender {
  readonly out: Outbound;
  readonly #hub: Hub;
  readonly #credit: Credit;
  readonly #ledger: Ledger;
  readonly #fixed: boolean; // the window stays as it is
  /** Bytes of the device's budget. */
  #charged: number;
  /** Did the last look see that the client takes its bytes? */
  moves = false;
  #slow = false;
  #unheard = true; // nothing has come from the client yet
  #patience: Patience | null = null; // of those that need it

  constructor(hub: Hub, credit: Credit, ledger: Ledger, type: number) {
    this.out = new Outbound(hub.share, ledger);
    this.#hub = hub;
    this.#credit = credit;
    this.#ledger = ledger;
    this.#fixed = type === VIRTIO_VSOCK_TYPE_SEQPACKET;
    this.#charged = credit.bufAlloc;
  }

  /** The number of the send in flight; 0: there is none. */
  get sending(): number {
    return this.out.inFlight;
  }

  /** What the connection takes of the device's budget. */
  get charged(): number {
    return this.#charged;
  }

  /** The client has said something: its answer need not stop half-way, if nothing else waits. */
  heard(): void {
    if (!this.#unheard) return;
    this.#unheard = false;
    if (!this.#fixed && this.#credit.held === 0) this.#grow();
  }

  /** Sends what was taken. True: the guest is to be told of credit. */
  flush(socket: StreamSocket): boolean {
    return this.consumed(this.out.flush(socket));
  }

  /** The kernel has the send in flight. True: as flush(). */
  sent(): boolean {
    this.#slow = false;
    return this.consumed(this.out.complete());
  }

  /** Bytes that are gone. True: the guest is to be told of credit. */
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
   * It is in flight for another second. True: the guest is to be told, of credit or that its client
   * is alive.
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
    const window = this.#hub.budget.grow(this.#credit.bufAlloc, this.#charged);
    this.#charged = Math.max(this.#charged, window);
    this.#credit.resize(window);
  }

  #shrink(): boolean {
    const { least } = this.#hub.budget;
    if (this.#fixed || this.#credit.bufAlloc <= least) return false;
    this.#credit.resize(least);
    this.#settle();
    return true;
  }

  /** What the guest may not use any more is for others. */
  #settle(): void {
    const charged = Math.max(this.#credit.bufAlloc, this.#credit.exposed);
    this.#hub.budget.shrink(this.#charged - charged);
    this.#charged = charged;
  }
}
