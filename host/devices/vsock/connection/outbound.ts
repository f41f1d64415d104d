// Payload on its way from the guest to the socket of one connection.
//
//   take() ─▶ parts in guest memory ─flush()─▶ one writev ─▶ kernel ─complete()─▶ chains released
//
// Bytes leave straight from guest memory, so the device keeps their chain until the kernel has
// them. One send is in flight at a time. What the guest sends meanwhile is collected for the next
// one: as chains, up to a limit, then as copies in blocks of the host's memory, which let the
// chains go (ring-share.ts). Everything after a copied byte is copied as well, to keep the order.
//
// Messages are held until their end is known, because their length precedes them (framing.ts).
import { VIRTIO_VSOCK_SEQ_EOM, VsockHdr } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import { empty } from "../rings/flushing.ts";
import type { RingShare } from "../rings/ring-share.ts";
import { frameOf } from "./framing.ts";
import { CopyPath, type Ledger } from "./ledger.ts";

/** A payload in more pieces than this is copied: the views would cost more than the bytes. */
const PARTS_MAX = 64;
/** Chains that may wait for the send in flight; what follows is copied. */
const WAITING_MAX = 16;
/** Copied bytes are kept in blocks, each twice as large as the one before, up to this. */
const BLOCK_BYTES_MIN = 4096;
const BLOCK_BYTES_MAX = 65536;

const NOTHING = new Uint8Array(0);

export class Outbound {
  readonly #share: RingShare;
  readonly #ledger: Ledger;
  readonly #parts: Uint8Array[] = []; // of the next send
  #next: Chain[] = []; // whose bytes are in #parts
  #nextBytes = 0;
  #flight: Chain[] = []; // whose bytes are in flight
  #flightBytes = 0;
  #flightDone = 0; // of these, with the kernel
  #sends = 0;
  #pinned = 0; // descriptors of #flight, and of #next while a send is in flight
  #sending = false;
  #block: Uint8Array | null = null; // the current one; earlier ones are in #parts
  #blockBytes = 0; // used of it
  #message = NOTHING; // an unfinished message, with room for more
  #messageBytes = 0;

  /** Never holds more bytes than the connection's buf_alloc: its owner enforces credit. */
  constructor(share: RingShare, ledger: Ledger) {
    this.#share = share;
    this.#ledger = ledger;
  }

  /** The kernel has everything. */
  get idle(): boolean {
    return !this.#sending && this.handedOver;
  }

  /** The number of the send in flight; 0: there is none. */
  get inFlight(): number {
    return this.#sending ? this.#sends : 0;
  }

  /** Nothing waits for the send in flight. */
  get handedOver(): boolean {
    return this.#block === null && this.#parts.length === 0;
  }

  /** Sends bytes of the device's own before all payload. They are not counted. */
  preface(bytes: Uint8Array): void {
    this.#parts.push(bytes);
  }

  /** Takes `length` payload bytes. True: it keeps the chain; false: they were copied. */
  take(chain: Chain, length: number): boolean {
    const crowded = this.#share.exhausted || (this.#sending && this.#next.length >= WAITING_MAX);
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

  /**
   * Takes a part of a message. If it is marked as the last, the message is queued after a frame
   * with its length. True: it keeps the chain.
   */
  takePart(chain: Chain, length: number, marks: number): boolean {
    if ((marks & VIRTIO_VSOCK_SEQ_EOM) === 0) {
      if (length > 0) this.#hold(chain, length);
      return false;
    }
    const bytes = this.#messageBytes + length;
    if (bytes === 0) return false;
    this.#frame(frameOf(bytes, marks));
    this.#appendMessage();
    return length > 0 && this.take(chain, length);
  }

  /** Bytes of the unfinished message. */
  get messageBytes(): number {
    return this.#messageBytes;
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
    this.#sends++;
    const taken = socket.send(this.#parts);
    empty(this.#parts);
    if (taken) return this.complete();
    this.#sending = true;
    for (const chain of this.#flight) this.#pin(chain.count);
    return 0;
  }

  /**
   * `unsent` bytes of the send in flight are not with the kernel yet. Returns how many it has taken
   * since the last call; the chains stay until it has all.
   */
  progress(unsent: number): number {
    const done = Math.max(this.#flightDone, this.#flightBytes - unsent);
    const taken = done - this.#flightDone;
    this.#flightDone = done;
    return taken;
  }

  /**
   * The kernel has all of the send in flight: releases its chains. Returns its bytes, without those
   * that progress() has reported.
   */
  complete(): number {
    for (let i = 0; i < this.#flight.length; i++) {
      const chain = this.#flight[i] as Chain;
      if (this.#sending) this.#pin(-chain.count);
      chain.release(0);
    }
    empty(this.#flight);
    this.#sending = false;
    const bytes = this.#flightBytes - this.#flightDone;
    this.#flightBytes = this.#flightDone = 0;
    return bytes;
  }

  /** Forgets everything. The socket must be closed: nothing may read the chains any more. */
  drop(): void {
    this.#closeBlock();
    empty(this.#parts);
    this.complete();
    for (const chain of this.#next) chain.release(0);
    empty(this.#next);
    this.#message = NOTHING;
    this.#nextBytes = this.#messageBytes = 0;
    this.#pin(-this.#pinned);
  }

  #pin(descriptors: number): void {
    this.#pinned += descriptors;
    this.#share.pinned += descriptors;
  }

  #copy(part: Uint8Array): void {
    const block = this.#blockFor(part.length);
    this.#ledger.copy(CopyPath.StageOut, part, block, this.#blockBytes);
    this.#blockBytes += part.length;
  }

  /** The current block, with room for `bytes` more. */
  #blockFor(bytes: number): Uint8Array {
    let block = this.#block;
    if (block === null || block.length - this.#blockBytes < bytes) {
      const wanted = block === null ? BLOCK_BYTES_MIN : block.length * 2;
      this.#closeBlock();
      block = new Uint8Array(Math.max(bytes, Math.min(wanted, BLOCK_BYTES_MAX)));
      this.#block = block;
    }
    return block;
  }

  /** Copies a part: the ring must not wait for the end of the message. */
  #hold(chain: Chain, length: number): void {
    const needed = this.#messageBytes + length;
    if (needed > this.#message.length) {
      const larger = new Uint8Array(Math.max(needed, this.#message.length * 2));
      const held = this.#message.subarray(0, this.#messageBytes);
      this.#ledger.copy(CopyPath.StageOut, held, larger, 0);
      this.#message = larger;
    }
    for (const part of chain.readable(VsockHdr.sizeof, length)) {
      this.#ledger.copy(CopyPath.StageOut, part, this.#message, this.#messageBytes);
      this.#messageBytes += part.length;
    }
  }

  /** Many small frames may wait for a send in flight, so they share blocks. */
  #frame(bytes: Uint8Array): void {
    if (this.#block === null && !this.#sending) {
      this.#parts.push(bytes);
      return;
    }
    this.#blockFor(bytes.length).set(bytes, this.#blockBytes);
    this.#blockBytes += bytes.length;
  }

  /** Queues the held parts of a message, after its frame. */
  #appendMessage(): void {
    const held = this.#message.subarray(0, this.#messageBytes);
    if (this.#sending && held.length < BLOCK_BYTES_MIN) {
      this.#copy(held);
    } else if (held.length > 0) {
      this.#closeBlock();
      this.#parts.push(held);
    }
    this.#nextBytes += held.length;
    this.#message = NOTHING;
    this.#messageBytes = 0;
  }

  #closeBlock(): void {
    if (this.#block === null) return;
    this.#parts.push(this.#block.subarray(0, this.#blockBytes));
    this.#block = null;
    this.#blockBytes = 0;
  }
}
