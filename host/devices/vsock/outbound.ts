// Payload on its way from the guest to the socket of one connection. It leaves straight from guest
// memory: the chain stays with the device until the kernel has the bytes. Slow readers are copied
// for, so that they cannot pin the ring that all connections share.
import { VsockHdr } from "../../../drivers/abi/vsock.ts";
import type { StreamSocket } from "../../sockets.ts";
import type { Chain } from "../../virtqueue.ts";
import { CopyPath, type Ledger } from "./copy.ts";

/** A payload in more pieces than this is copied: a view costs more than its bytes then. */
const PARTS_MAX = 64;
/** Chains of one connection that wait behind its send in flight; what follows is copied. */
const BEHIND_MAX = 16;
/** Copied bytes are kept in blocks, each twice as large as the one before, up to this. */
const BLOCK_BYTES_MIN = 4096;
const BLOCK_BYTES_MAX = 65536;

/** Descriptors of the tx ring that slow connections hold, against the share they may hold. */
export class RingShare {
  pinned = 0;
  pinnedMax = 0;

  get exhausted(): boolean {
    return this.pinned > this.pinnedMax;
  }
}

/** Empties an array that is filled again soon: with `length = 0` V8 would drop its memory. */
export function empty(list: unknown[]): void {
  while (list.length > 0) list.pop();
}

export class Outbound {
  readonly #share: RingShare;
  readonly #ledger: Ledger;
  readonly #parts: Uint8Array[] = []; // of the next send
  #next: Chain[] = []; // under #parts
  #nextBytes = 0;
  #flight: Chain[] = []; // under the send in flight
  #flightBytes = 0;
  #pinned = 0; // descriptors of #flight, and of #next behind it
  #sending = false;
  #block: Uint8Array | null = null; // the last one; those before are in #parts
  #blockBytes = 0; // used of it

  /** Holds as many bytes as the connection's buf_alloc, which its owner sees to by credit. */
  constructor(share: RingShare, ledger: Ledger) {
    this.#share = share;
    this.#ledger = ledger;
  }

  /** The kernel has everything. */
  get idle(): boolean {
    return !this.#sending && this.handedOver;
  }

  /** Nothing waits behind the send in flight. */
  get handedOver(): boolean {
    return this.#block === null && this.#parts.length === 0;
  }

  /** Bytes of the device's own, in front of all payload. They are not the guest's, nor counted. */
  preface(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  /** Takes `length` payload bytes. True: it keeps the chain; false: they were copied. */
  take(chain: Chain, length: number): boolean {
    const crowded = this.#share.exhausted || (this.#sending && this.#next.length >= BEHIND_MAX);
    // Whatever follows copied bytes is copied as well: order.
    if (crowded || this.#block !== null || chain.readableCount > PARTS_MAX) {
      for (const part of chain.readable(VsockHdr.sizeof, length)) this.#copy(part);
      this.#nextBytes += length;
      return false;
    }
    chain.readable(VsockHdr.sizeof, length, this.#parts);
    this.#next.push(chain);
    this.#nextBytes += length;
    if (this.#sending) this.#pin(chain.count);
    return true;
  }

  /** Sends what was taken, unless a send is in flight. Returns the bytes that left at once. */
  flush(socket: StreamSocket): number {
    if (this.#sending) return 0;
    this.#closeBlock();
    if (this.#parts.length === 0) return 0;
    this.#pin(-this.#pinned);
    [this.#flight, this.#next] = [this.#next, this.#flight];
    this.#flightBytes = this.#nextBytes;
    this.#nextBytes = 0;
    const taken = socket.send(this.#parts);
    empty(this.#parts);
    if (taken) return this.complete();
    this.#sending = true;
    for (const chain of this.#flight) this.#pin(chain.count);
    return 0;
  }

  /** The kernel has the send in flight: gives its chains back. Returns its bytes. */
  complete(): number {
    for (let i = 0; i < this.#flight.length; i++) {
      const chain = this.#flight[i] as Chain;
      if (this.#sending) this.#pin(-chain.count);
      chain.release(0);
    }
    empty(this.#flight);
    this.#sending = false;
    const bytes = this.#flightBytes;
    this.#flightBytes = 0;
    return bytes;
  }

  /** Forgets everything. The socket must be closed: nothing may read the chains any more. */
  drop(): void {
    this.#closeBlock();
    empty(this.#parts);
    this.complete();
    for (const chain of this.#next) chain.release(0);
    empty(this.#next);
    this.#nextBytes = 0;
    this.#pin(-this.#pinned);
  }

  #pin(descriptors: number): void {
    this.#pinned += descriptors;
    this.#share.pinned += descriptors;
  }

  #copy(part: Uint8Array): void {
    let block = this.#block;
    if (block === null || block.length - this.#blockBytes < part.length) {
      const wanted = block === null ? BLOCK_BYTES_MIN : block.length * 2;
      this.#closeBlock();
      block = new Uint8Array(Math.max(part.length, Math.min(wanted, BLOCK_BYTES_MAX)));
      this.#block = block;
    }
    this.#ledger.copy(CopyPath.StageOut, part, block, this.#blockBytes);
    this.#blockBytes += part.length;
  }

  #closeBlock(): void {
    if (this.#block === null) return;
    this.#parts.push(this.#block.subarray(0, this.#blockBytes));
    this.#block = null;
    this.#blockBytes = 0;
  }
}
