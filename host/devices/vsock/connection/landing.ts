// The buffers that one socket reads into: an rx chain reserved in advance; while there is none, a
// staging buffer that all connections share, from which bytes are copied to rx chains.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../../abi/vsock.ts";
import type { ReadSource } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import { payloadRoom, type RxRing } from "../rings/rx-ring.ts";
import { CopyPath, type Ledger } from "./ledger.ts";

/**
 * Shared by all connections, because nothing else is read between a read into it and filled().
 * Bytes that cannot go to the guest at once are copied out of it.
 */
const STAGE = new Uint8Array(VSOCK_PACKET_BYTES_MAX);

/** The receiver, as its buffers see it. */
export interface LandingOwner {
  /** Client bytes are discarded. */
  readonly discards: boolean;
  /** Bytes that the guest has room for, besides those that wait already. */
  readonly room: number;
  /** How many of these may be sent in a packet right now. */
  readonly roomNow: number;
  /** The guest's window while its buffer is empty. */
  readonly window: number;
  /**
   * Writes the header for `length` payload bytes that are in the chain. Returns the packet's bytes.
   */
  landed(chain: Chain, length: number): number;
  /** Takes the copying path. Bytes that have to wait are copied, unless they may be `kept`. */
  staged(bytes: Uint8Array, kept: boolean): void;
  /** A read is done. `full`: it filled its buffer. `scarce`: the next one is short of room. */
  arrived(full: boolean, scarce: boolean): void;
}

export class Landing implements ReadSource {
  readonly #owner: LandingOwner;
  readonly #ring: RxRing;
  readonly #least: number;
  readonly #ledger: Ledger;
  #chain: Chain | null; // that #view is in, or reserved for the next one
  #view: Uint8Array = STAGE;

  /** `first` is a reserved chain; later ones have room for at least `least` bytes. */
  constructor(owner: LandingOwner, ring: RxRing, first: Chain, least: number, ledger: Ledger) {
    this.#owner = owner;
    this.#ring = ring;
    this.#chain = first;
    this.#least = least;
    this.#ledger = ledger;
  }

  buffer(): Uint8Array {
    if (this.#owner.discards) this.release();
    const chain = this.#choose();
    if (chain === null) {
      this.#view = STAGE;
      return STAGE;
    }
    // No more than the guest has room for, or the rest would have to be copied. With no room at all
    // reading has stopped, and part of the window will be free by the time it resumes.
    const { room, window } = this.#owner;
    const most = room > 0 ? room : Math.max(window >> 1, 1);
    const start = chain.writableAt(VsockHdr.sizeof, 0);
    const end = start + Math.min(payloadRoom(chain), most);
    this.#view = chain.memory.u8.subarray(start, end);
    return this.#view;
  }

  filled(length: number): void {
    const owner = this.#owner;
    const chain = this.#chain;
    const view = this.#view;
    if (owner.discards) {
      owner.arrived(length === view.length, false);
      return;
    }
    this.#chain = null;
    if (chain === null) owner.staged(view.subarray(0, length), false);
    else this.#deliver(chain, view, length);
    const next = this.#choose();
    const wanted = next !== null ? payloadRoom(next) : view.length;
    owner.arrived(length === view.length, owner.room < wanted);
  }

  /** Nothing is read any more: returns the chain to the ring. */
  release(): void {
    if (this.#chain !== null) this.#ring.unreserve(this.#chain);
    this.#chain = null;
  }

  #choose(): Chain | null {
    if (this.#owner.discards) return null;
    this.#chain ??= this.#ring.reserve(this.#least);
    return this.#chain;
  }

  /** All fits, unless the guest has taken room back since. */
  #deliver(chain: Chain, view: Uint8Array, length: number): void {
    const owner = this.#owner;
    const fits = Math.min(length, owner.roomNow);
    const rest = new Uint8Array(length - fits);
    // Before the chain goes to the guest.
    if (rest.length > 0) {
      this.#ledger.copy(CopyPath.SpillIn, view.subarray(fits, length), rest, 0);
    }
    if (fits > 0) this.#ring.giveReserved(chain, owner.landed(chain, fits));
    else this.#ring.unreserve(chain);
    if (rest.length > 0) owner.staged(rest, true);
  }
}
