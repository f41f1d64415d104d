// Credit of one connection, both ways (virtio 5.10.6.3). All counters are u32 and wrap.
import { VSOCK_PACKET_BYTES_MAX, VsockOp, vsockCredit } from "../../../../abi/vsock.ts";
import type { GuestPacket, HostPacket } from "../rings/packet.ts";

/** A guest with no larger one hears of all that is consumed. */
const SMALL_WINDOW = 16 * 1024;

export class Credit {
  #bufAlloc: number;
  #edge: number; // of fwdCnt + bufAlloc the most that there has ever been: it does not go back
  #txCnt = 0; // payload bytes sent to the guest
  #peerBufAlloc = 0;
  #peerFwdCnt = 0;
  #rxCnt = 0; // payload bytes taken from the guest
  #fwdCnt = 0; // of these, with the kernel
  #fwdCntTold = 0;
  /** The guest waits for more than it was told: it hears of every step, until it has all. */
  #asked = false;

  constructor(bufAlloc: number) {
    this.#bufAlloc = this.#edge = bufAlloc;
  }

  /** Bytes that the guest has room for. */
  get available(): number {
    return vsockCredit(this.#peerBufAlloc, this.#txCnt, this.#peerFwdCnt);
  }

  /** Bytes that the guest has room for when it has consumed all. */
  get window(): number {
    return this.#peerBufAlloc;
  }

  /** Learns from any packet. False: it claims to have consumed what was never sent (K9). */
  learn(packet: GuestPacket): boolean {
    this.#peerBufAlloc = packet.bufAlloc;
    const advance = (packet.fwdCnt - this.#peerFwdCnt) >>> 0;
    if (advance > (this.#txCnt - this.#peerFwdCnt) >>> 0) return false;
    this.#peerFwdCnt = packet.fwdCnt;
    return true;
  }

  sent(length: number): void {
    this.#txCnt = (this.#txCnt + length) >>> 0;
  }

  /** Takes payload in. False: it is more than was ever advertised (V6, V35). */
  take(length: number): boolean {
    if (length > (this.#edge - this.#rxCnt) >>> 0) return false;
    this.#rxCnt = (this.#rxCnt + length) >>> 0;
    this.#asked = false;
    return true;
  }

  consumed(length: number): void {
    this.#fwdCnt = (this.#fwdCnt + length) >>> 0;
    this.#advance();
  }

  /** Bytes that the guest may have on their way. */
  get bufAlloc(): number {
    return this.#bufAlloc;
  }

  /** The guest learns of it with the next packet, and may use up a larger one until then. */
  resize(bufAlloc: number): void {
    this.#bufAlloc = bufAlloc;
    this.#advance();
  }

  /** Bytes that have come, and are not gone. */
  get held(): number {
    return (this.#rxCnt - this.#fwdCnt) >>> 0;
  }

  /** Bytes that may have to be held: those that have come, and those that may yet. */
  get exposed(): number {
    return (this.#edge - this.#fwdCnt) >>> 0;
  }

  /** Is it CREDIT_REQUEST, which the next packet answers? */
  asked(op: VsockOp): boolean {
    this.#asked ||= op === VsockOp.CREDIT_REQUEST;
    return op === VsockOp.CREDIT_REQUEST;
  }

  /**
   * Does the guest believe that less than a packet fits, or than half of its window if that is
   * less, or than it asked for, and is wrong? (V39)
   */
  get updateDue(): boolean {
    if (this.#fwdCnt === this.#fwdCntTold) return false;
    if (this.#asked) return true;
    const believed = vsockCredit(this.#bufAlloc, this.#rxCnt, this.#fwdCntTold);
    const least = Math.max(this.#bufAlloc >>> 1, Math.min(this.#bufAlloc, SMALL_WINDOW));
    return believed < Math.min(VSOCK_PACKET_BYTES_MAX, least);
  }

  /** Every packet tells the truth of its moment (V7). */
  stamp(packet: HostPacket): void {
    packet.bufAlloc = this.#bufAlloc;
    packet.fwdCnt = this.#fwdCntTold = this.#fwdCnt;
    if (this.#fwdCnt === this.#rxCnt) this.#asked = false;
  }

  #advance(): void {
    const edge = (this.#fwdCnt + this.#bufAlloc) >>> 0;
    if ((edge - this.#edge) >>> 0 <= 0x80000000) this.#edge = edge;
  }
}
