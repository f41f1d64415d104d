// Frames to the guest: the receive queue (virtio 5.1.6.4), and frames that wait for buffers in it.
import { NetHdr } from "../../../abi/net.ts";
import { joinBytes } from "../../bytes.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import { fillChains } from "./fill.ts";
import { type Frame, WholeFrame, wireBytesOf } from "./frame.ts";
import { type Borrower, LENT_BYTES_MIN, type Lender, type Loan, placeIn, RxLoan } from "./loan.ts";
import { complete } from "./offload/complete.ts";
import { isWithin, NO_RIGHTS, type OffloadRights, writeOffload } from "./offload/offload.ts";
import type { ReceiveBuffers } from "./rx-ring.ts";
import type { NetStats } from "./stats.ts";
import type { FrameTap } from "./tap.ts";

/** Frames that wait while the guest has posted no buffers; a further one is dropped (NB3). */
const WAITING_FRAMES_MAX = 256;
const WAITING_BYTES_MAX = 1024 * 1024;

/** Of a frame that leaves nothing to do, in one buffer (NW19, NW21, NW22). */
const PLAIN_HEADER = new Uint8Array(NetHdr.sizeof);
PLAIN_HEADER[NetHdr.num_buffers] = 1;

export class ToGuest implements Lender {
  /** Sees every frame; set before the driver is ready. */
  tap: FrameTap | null = null;
  readonly #stats: NetStats;
  readonly #bytesMax: number;
  readonly #header = new Uint8Array(NetHdr.sizeof);
  readonly #view = new DataView(this.#header.buffer);
  #buffers: ReceiveBuffers | null = null;
  #rights = NO_RIGHTS;
  #waiting: Frame[] = [];
  #waitingBytes = 0;
  /** Buffers that are lent, the oldest first: one for each flow at most. */
  readonly #loans = new Set<RxLoan>();

  /** `bytesMax`: of a frame that is one. */
  constructor(stats: NetStats, bytesMax: number) {
    this.#stats = stats;
    this.#bytesMax = bytesMax;
  }

  /** null: the guest has no driver. */
  get queue(): VirtQueue | null {
    return this.#buffers?.queue ?? null;
  }

  /** Frames that wait for buffers. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** `rights`: what the guest does itself. null: it has no driver any more. */
  begin(buffers: ReceiveBuffers | null, rights: OffloadRights): void {
    this.#buffers = null;
    this.clear();
    this.#buffers = buffers;
    this.#rights = rights;
  }

  /** Drops the frames that wait, and takes back what is lent. */
  clear(): void {
    for (const loan of this.#loans) this.#recall(loan);
    this.#stats.dropped.noLink += this.#waiting.length;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Card.deliver() */
  deliver(frame: Frame): void {
    const { dropped } = this.#stats;
    const { offload = null } = frame;
    if (this.#buffers === null) dropped.noLink++;
    else if (wireBytesOf(frame) > this.#bytesMax) dropped.tooLong++;
    else if (offload === null || isWithin(offload, this.#rights)) this.#put(this.#buffers, frame);
    else this.#putComplete(this.#buffers, frame);
  }

  /** Card.offer(). Frames whose work has to be done here are dropped if they do not fit. */
  offer(frame: Frame): boolean {
    const { offload = null } = frame;
    const buffers = this.#buffers;
    if (buffers === null || this.#waiting.length > 0) return false;
    if (wireBytesOf(frame) > this.#bytesMax) this.#stats.dropped.tooLong++;
    else if (offload === null || isWithin(offload, this.#rights))
      return this.#place(buffers, frame);
    else this.#putComplete(buffers, frame);
    return true;
  }

  /** Card.lend() */
  lend(borrower: Borrower): Loan | null {
    const buffers = this.#buffers;
    const chains = this.#waiting.length > 0 ? null : (buffers?.take(LENT_BYTES_MIN) ?? null);
    if (buffers === null || chains === null) return null;
    const [chain] = chains as readonly [Chain, ...Chain[]];
    const place = chains.length === 1 ? placeIn(chain) : null;
    if (place === null) {
      for (let i = chains.length - 1; i >= 0; i--) buffers.giveBack(chains[i] as Chain);
      return null;
    }
    const loan = new RxLoan(this, borrower, chain, place);
    this.#loans.add(loan);
    this.#stats.lent++;
    return loan;
  }

  /** Loan.deliver() */
  deliverLent(loan: RxLoan, frame: Frame): void {
    if (!this.#loans.delete(loan)) return;
    const { chain } = loan;
    const headers = frame.parts[0] as Uint8Array;
    this.#count([chain], frame);
    this.#stats.copiedToGuest += headers.length;
    chain.copyTo(0, this.#headerOf(frame, 1));
    chain.copyTo(NetHdr.sizeof, headers);
    chain.release(NetHdr.sizeof + frame.bytes);
  }

  /** Loan.giveBack() */
  takeBack(loan: RxLoan): void {
    if (this.#loans.delete(loan)) this.#buffers?.giveBack(loan.chain);
  }

  #recall(loan: RxLoan): void {
    loan.borrower.recalled();
    this.takeBack(loan);
  }

  /** The guest has posted buffers: frames that wait go first. */
  pump(): void {
    let placed = 0;
    for (const frame of this.#waiting) {
      if (this.#buffers === null || !this.#place(this.#buffers, frame)) break;
      this.#waitingBytes -= frame.bytes;
      placed++;
    }
    if (placed > 0) this.#waiting.splice(0, placed);
  }

  /** NW15, NB6. */
  #putComplete(buffers: ReceiveBuffers, frame: Frame): void {
    const frames = complete(frame, frame.offload as NonNullable<Frame["offload"]>);
    if (frames.length === 0) this.#stats.dropped.offload++;
    else this.#stats.completed++;
    for (const one of frames) this.#put(buffers, one);
  }

  #put(buffers: ReceiveBuffers, frame: Frame): void {
    if (this.#waiting.length > 0 || !this.#place(buffers, frame)) this.#wait(frame);
  }

  /** False: it has to wait. A frame that none of the posted buffers holds is dropped (NW26). */
  #place(buffers: ReceiveBuffers, frame: Frame): boolean {
    let chains = buffers.take(frame.bytes);
    for (const loan of this.#loans) {
      if (chains !== null) break;
      this.#recall(loan); // a frame that is there goes before one that may come
      chains = buffers.take(frame.bytes);
    }
    if (chains !== null) this.#fill(buffers.queue, chains, frame);
    else if (buffers.mayHold) return false;
    else this.#stats.dropped.noFit++;
    return true;
  }

  /** The one copy of a frame (NB5). */
  #fill(queue: VirtQueue, chains: readonly Chain[], frame: Frame): void {
    this.#stats.copiedToGuest += frame.bytes;
    this.#count(chains, frame);
    fillChains(queue, chains, this.#headerOf(frame, chains.length), frame.parts);
  }

  #count(chains: readonly Chain[], frame: Frame): void {
    const stats = this.#stats;
    for (let i = 0; i < chains.length; i++) {
      const chain = chains[i] as Chain;
      stats.descriptorsToGuest += chain.count;
      stats.roomToGuest += chain.writableBytes;
    }
    stats.buffersToGuest += chains.length;
    stats.framesToGuest++;
    stats.bytesToGuest += frame.bytes;
    this.tap?.toGuest(frame);
  }

  /** Valid until the next call. */
  #headerOf({ offload = null }: Frame, buffers: number): Uint8Array {
    if (offload === null && buffers === 1) return PLAIN_HEADER;
    writeOffload(this.#view, offload);
    this.#view.setUint16(NetHdr.num_buffers, buffers, true);
    return this.#header;
  }

  #wait(frame: Frame): void {
    const bytes = this.#waitingBytes + frame.bytes;
    if (this.#waiting.length === WAITING_FRAMES_MAX || bytes > WAITING_BYTES_MAX) {
      this.#stats.dropped.queueFull++;
      return;
    }
    this.#stats.copiedToQueue += frame.bytes;
    this.#waitingBytes = bytes;
    this.#waiting.push(new WholeFrame(joinBytes(frame.parts), null, frame.offload));
  }
}
