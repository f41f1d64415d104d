// Where bytes of one socket land that the host reads in place: in an rx chain of the guest that was
// chosen before they came. Without a chain they land in a staging buffer, and are copied as ever.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../drivers/abi/vsock.ts";
import type { ReadSource } from "../../sockets.ts";
import type { Chain } from "../../virtqueue.ts";
import { CopyPath, type Ledger } from "./copy.ts";
import { payloadRoom, type RxRing } from "./rx-ring.ts";

/** What landed here concerns nobody. Shared by all. */
const NOWHERE = new Uint8Array(VSOCK_PACKET_BYTES_MAX);

/** The connection's way to its guest. */
export interface LandingOwner {
  /** Bytes of the client lead nowhere. */
  readonly discards: boolean;
  /** Bytes that the guest has room for beside those that wait already. */
  readonly room: number;
  /** Of these, bytes that may be in a packet right now. */
  readonly roomNow: number;
  /** The guest's window when it is empty. */
  readonly window: number;
  /** `length` payload bytes are in the chain: writes the header. Returns the packet's bytes. */
  landed(chain: Chain, length: number): number;
  /** These wait for the copying path, in a buffer that stays as it is meanwhile. */
  staged(bytes: Uint8Array): void;
  /** A read is dealt with. `full`: it filled its buffer; `scarce`: the next is short of room. */
  arrived(full: boolean, scarce: boolean): void;
}

export class Landing implements ReadSource {
  readonly #owner: LandingOwner;
  readonly #ring: RxRing;
  readonly #least: number;
  readonly #ledger: Ledger;
  #chain: Chain | null; // under #view, or chosen for it
  #view: Uint8Array = NOWHERE;
  #stage: Uint8Array | null = null;

  /** `first` is an armed chain of the ring; later ones have room for `least` bytes, too. */
  constructor(owner: LandingOwner, ring: RxRing, first: Chain, least: number, ledger: Ledger) {
    this.#owner = owner;
    this.#ring = ring;
    this.#chain = first;
    this.#least = least;
    this.#ledger = ledger;
  }

  buffer(): Uint8Array {
    if (this.#owner.discards) {
      this.release();
      this.#view = NOWHERE;
      return NOWHERE;
    }
    const chain = this.#choose();
    if (chain === null) {
      this.#view = this.#staging();
      return this.#view;
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
    if (chain === null) owner.staged(view.subarray(0, length));
    else this.#deliver(chain, view, length);
    const next = this.#choose();
    const scarce = next === null || owner.room < payloadRoom(next);
    owner.arrived(length === view.length, scarce);
  }

  /** Nothing is read any more: the chain is the ring's again. */
  release(): void {
    if (this.#chain !== null) this.#ring.back(this.#chain);
    this.#chain = null;
  }

  #choose(): Chain | null {
    this.#chain ??= this.#ring.arm(this.#least);
    return this.#chain;
  }

  /** To the guest as far as it has room, which it has unless it took some back. */
  #deliver(chain: Chain, view: Uint8Array, length: number): void {
    const owner = this.#owner;
    const fits = Math.min(length, owner.roomNow);
    const rest = length - fits;
    // Before the chain is given away.
    if (rest > 0) {
      this.#ledger.copy(CopyPath.SpillIn, view.subarray(fits, length), this.#staging(), 0);
    }
    if (fits > 0) this.#ring.use(chain, owner.landed(chain, fits));
    else this.#ring.back(chain);
    if (rest > 0) owner.staged(this.#staging().subarray(0, rest));
  }

  #staging(): Uint8Array {
    this.#stage ??= new Uint8Array(VSOCK_PACKET_BYTES_MAX);
    return this.#stage;
  }
}
