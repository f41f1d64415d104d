// Where bytes of one socket land that does without chunks of its own: in an rx chain of the guest
// that was chosen before they came, if the connection carries much; else in a staging buffer that
// all connections share, from which they are copied as ever.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../../abi/vsock.ts";
import type { ReadSource } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import { payloadRoom, type RxRing } from "../rings/rx-ring.ts";
import { CopyPath, type Ledger } from "./ledger.ts";

/**
 * Shared by all connections: between a read into it and filled() nothing else is read. What cannot
 * go on from here at once is copied.
 */
const STAGE = new Uint8Array(VSOCK_PACKET_BYTES_MAX);

/** The connection's way to its guest. */
export interface LandingOwner {
  /** Bytes of the client lead nowhere. */
  readonly discards: boolean;
  /** It is worth an rx chain that waits for the next bytes. */
  readonly carriesMuch: boolean;
  /** Bytes that the guest has room for beside those that wait already. */
  readonly room: number;
  /** Of these, bytes that may be in a packet right now. */
  readonly roomNow: number;
  /** The guest's window when it is empty. */
  readonly window: number;
  /** `length` payload bytes are in the chain: writes the header. Returns the packet's bytes. */
  landed(chain: Chain, length: number): number;
  /** These go by the copying path. What has to wait is copied, unless the bytes may be `kept`. */
  staged(bytes: Uint8Array, kept: boolean): void;
  /** A read is dealt with. `full`: it filled its buffer; `scarce`: the next is short of room. */
  arrived(full: boolean, scarce: boolean): void;
}

export class Landing implements ReadSource {
  readonly #owner: LandingOwner;
  readonly #ring: RxRing;
  readonly #least: number;
  readonly #ledger: Ledger;
  #chain: Chain | null; // under #view, or chosen for it
  #view: Uint8Array = STAGE;

  /** `first` is an armed chain of the ring, or null; others have room for `least` bytes. */
  constructor(
    owner: LandingOwner,
    ring: RxRing,
    first: Chain | null,
    least: number,
    ledger: Ledger,
  ) {
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
    // Never more than fits, or the rest must be copied. Without any room reading has stopped; by
    // the time that it goes on a part of the window is free.
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
    const wanted = next !== null ? payloadRoom(next) : owner.carriesMuch ? view.length : 1;
    owner.arrived(length === view.length, owner.room < wanted);
  }

  /** Nothing is read any more: the chain is the ring's again. */
  release(): void {
    if (this.#chain !== null) this.#ring.back(this.#chain);
    this.#chain = null;
  }

  #choose(): Chain | null {
    if (this.#owner.discards || !this.#owner.carriesMuch) return null;
    this.#chain ??= this.#ring.arm(this.#least);
    return this.#chain;
  }

  /** To the guest as far as it has room, which it has unless it took some back. */
  #deliver(chain: Chain, view: Uint8Array, length: number): void {
    const owner = this.#owner;
    const fits = Math.min(length, owner.roomNow);
    const rest = new Uint8Array(length - fits);
    // Before the chain is given away.
    if (rest.length > 0) {
      this.#ledger.copy(CopyPath.SpillIn, view.subarray(fits, length), rest, 0);
    }
    if (fits > 0) this.#ring.use(chain, owner.landed(chain, fits));
    else this.#ring.back(chain);
    if (rest.length > 0) owner.staged(rest, true);
  }
}
