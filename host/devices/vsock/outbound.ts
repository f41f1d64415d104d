// Payload on its way from the guest to the socket of one connection. It leaves straight from guest
// memory: the chain stays with the device until the kernel has the bytes. Slow readers are copied
// for, so that they cannot pin the ring that all connections share.
import { VsockHdr } from "../../../drivers/abi/vsock.ts";
import type { StreamSocket } from "../../sockets.ts";
import type { Chain } from "../../virtqueue.ts";

/** A payload in more pieces than this is copied: a view costs more than its bytes then. */
const PARTS_MAX = 64;
const STAGE_BYTES_MIN = 4096;

/** Descriptors of the tx ring that slow connections hold, against the share they may hold. */
export class RingShare {
  pinned = 0;
  pinnedMax = 0;
  copiedBytes = 0;

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
  readonly #stageBytesMax: number;
  readonly #parts: Uint8Array[] = []; // of the next send
  readonly #chains: Chain[] = []; // under the next send or the one in flight
  #bytes = 0; // of the next send or the one in flight
  #pinned = 0; // descriptors of #chains, while a send is in flight
  #sending = false;
  #stage: Uint8Array | null = null;
  #staged = 0;

  /** Holds at most `bytesMax` bytes, which its owner sees to by credit. */
  constructor(share: RingShare, bytesMax: number) {
    this.#share = share;
    this.#stageBytesMax = bytesMax;
  }

  /** The kernel has everything. */
  get idle(): boolean {
    return !this.#sending && this.#staged === 0 && this.#parts.length === 0;
  }

  /** Nothing waits behind the send in flight. */
  get handedOver(): boolean {
    return this.#staged === 0 && this.#parts.length === 0;
  }

  /** Takes `length` payload bytes. True: it keeps the chain; false: they were copied. */
  take(chain: Chain, length: number): boolean {
    // Whatever follows copied bytes is copied as well: order.
    const copy = this.#sending || this.#staged > 0 || this.#share.exhausted;
    if (copy || chain.readableCount > PARTS_MAX) {
      this.#copy(chain.readable(VsockHdr.sizeof, length), length);
      return false;
    }
    chain.readable(VsockHdr.sizeof, length, this.#parts);
    this.#chains.push(chain);
    this.#bytes += length;
    return true;
  }

  /** Sends what was taken, unless a send is in flight. Returns the bytes that left at once. */
  flush(socket: StreamSocket): number {
    if (this.#sending) return 0;
    if (this.#stage !== null) {
      this.#parts.push(this.#stage.subarray(0, this.#staged));
      this.#bytes += this.#staged;
      this.#stage = null;
      this.#staged = 0;
    }
    if (this.#parts.length === 0) return 0;
    const taken = socket.send(this.#parts);
    empty(this.#parts);
    if (taken) return this.complete();
    this.#sending = true;
    for (const chain of this.#chains) this.#pinned += chain.count;
    this.#share.pinned += this.#pinned;
    return 0;
  }

  /** The kernel has the send in flight: gives its chains back. Returns its bytes. */
  complete(): number {
    for (let i = 0; i < this.#chains.length; i++) (this.#chains[i] as Chain).release(0);
    empty(this.#chains);
    this.#share.pinned -= this.#pinned;
    this.#pinned = 0;
    this.#sending = false;
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }

  /** Forgets everything. The socket must be closed: nothing may read the chains any more. */
  drop(): void {
    empty(this.#parts);
    this.#stage = null;
    this.#staged = 0;
    this.complete();
  }

  #copy(parts: readonly Uint8Array[], length: number): void {
    const stage = this.#room(length);
    for (const part of parts) {
      stage.set(part, this.#staged);
      this.#staged += part.length;
    }
    this.#share.copiedBytes += length;
  }

  #room(length: number): Uint8Array {
    const needed = this.#staged + length;
    let stage = this.#stage;
    if (stage !== null && stage.length >= needed) return stage;
    let size = stage === null ? STAGE_BYTES_MIN : stage.length;
    while (size < needed) size *= 2;
    const grown = new Uint8Array(Math.max(needed, Math.min(size, this.#stageBytesMax)));
    if (stage !== null) grown.set(stage.subarray(0, this.#staged));
    this.#stage = stage = grown;
    return stage;
  }
}
