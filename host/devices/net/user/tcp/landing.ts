// Reading in place (NZ10): the host's socket reads into a buffer that the guest has posted, after
// the place of the headers. The buffer goes back when a frame needs it, when the connection ends,
// and when it was quiet for a while.
import type { Borrower, Loan } from "../../loan.ts";
import type { Envelope } from "../../network.ts";
import type { Local } from "../local.ts";
import { Deadline } from "./deadline.ts";

/** A buffer in an idle connection is one less for all others. */
const QUIET_MS = 10;

export class Landing implements Borrower {
  readonly #local: Local;
  readonly #envelope: Envelope;
  readonly #leave: () => void;
  readonly #quiet: Deadline;
  #loan: Loan | null = null;
  #view: Uint8Array | null = null;

  /** `leave`: the buffer is about to go back, and the socket must read elsewhere from now on. */
  constructor(local: Local, envelope: Envelope, leave: () => void) {
    this.#local = local;
    this.#envelope = envelope;
    this.#leave = leave;
    this.#quiet = new Deadline(local, () => this.release());
  }

  /** Is reading in place possible? Sums over memory of the guest are not made. */
  get isPossible(): boolean {
    return this.#local.receive === "in-place" && this.#local.card.takes.checksums;
  }

  get isThere(): boolean {
    return this.#loan !== null;
  }

  /**
   * A buffer for up to `most` bytes of options and payload, the one that is there already or a new
   * one. null: none.
   */
  reserve(most: number): Uint8Array | null {
    if (this.#loan === null) {
      this.#loan = this.#local.card.lend(this.#envelope, this);
      if (this.#loan === null) return null;
      this.#quiet.set(QUIET_MS);
    }
    const { payload, padBytes } = this.#loan;
    const bytes = Math.min(Math.max(1, most - padBytes), payload.length);
    if (this.#view?.length !== bytes || this.#view.byteOffset !== payload.byteOffset) {
      this.#view = payload.subarray(0, bytes);
    }
    return this.#view;
  }

  /** The buffer, whose front was filled. */
  peek(): Loan | null {
    return this.#loan;
  }

  /** The guest has it. */
  taken(): void {
    this.#forget();
  }

  /** Bytes at the front of the buffer that do not go to the guest in it. */
  front(length: number): Uint8Array {
    return this.#loan?.payload.subarray(0, length) ?? new Uint8Array(0);
  }

  /** Gives the buffer back, if there is one. */
  release(): void {
    const loan = this.#loan;
    if (loan === null) return;
    this.recalled();
    loan.giveBack();
  }

  /** The connection is over, and its socket reads no more. */
  stop(): void {
    const loan = this.#loan;
    this.#forget();
    this.#quiet.stop();
    loan?.giveBack();
  }

  recalled(): void {
    this.#forget();
    this.#leave();
  }

  #forget(): void {
    this.#loan = null;
    this.#view = null;
    this.#quiet.clear();
  }
}
