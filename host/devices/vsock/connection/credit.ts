// Credit of one connection, in both directions (virtio 5.10.6.3). Each side advertises, in every
// packet, the size of its buffer for the connection (buf_alloc) and the payload bytes that have
// left that buffer so far (fwd_cnt). The other side counts what it has sent (tx_cnt), so it may
// send
//
//   buf_alloc - (tx_cnt - fwd_cnt)
//
// more bytes. All counters are u32 and wrap.
//
// The host's "buffer" is a promise: bytes stay in guest memory until the kernel takes them, which
// is when fwd_cnt advances. Its buf_alloc grows and shrinks (budget.ts); what was once advertised
// may still be used, up to the edge. A CREDIT_UPDATE is sent when the guest would otherwise believe
// that less than a packet fits, since any other packet carries the same figures for free.
import { VSOCK_PACKET_BYTES_MAX, VsockOp, vsockCredit } from "../../../../abi/vsock.ts";
import type { GuestPacket, HostPacket } from "../rings/packet.ts";

/** Guests with a window of at most this get an update for every step. */
const SMALL_WINDOW = 16 * 1024;

export class Credit {
  #bufAlloc: number;
  #edge: number; // the highest fwdCnt + bufAlloc so far: it never recedes
  #txCnt = 0; // payload bytes sent to the guest
  #peerBufAlloc = 0;
  #peerFwdCnt = 0;
  #rxCnt = 0; // payload bytes taken from the guest
  #fwdCnt = 0; // those that the kernel took
  #fwdCntSent = 0;
  /** The guest waits for credit: it gets an update for every step until it has all. */
  #asked = false;

  constructor(bufAlloc: number) {
    this.#bufAlloc = this.#edge = bufAlloc;
  }

  /** Bytes that the guest has room for. */
  get available(): number {
    return vsockCredit(this.#peerBufAlloc, this.#txCnt, this.#peerFwdCnt);
  }

  /** Bytes that the guest has room for when its buffer is empty. */
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

  /** Counts payload of the guest. False: it exceeds what was advertised (V6, V35). */
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

  /** The window as advertised. */
  get bufAlloc(): number {
    return this.#bufAlloc;
  }

  /** The guest learns of it with the next packet, and may use a larger one until then. */
  resize(bufAlloc: number): void {
    this.#bufAlloc = bufAlloc;
    this.#advance();
  }

  /** Bytes that have come, and that the kernel has not taken. */
  get held(): number {
    return (this.#rxCnt - this.#fwdCnt) >>> 0;
  }

  /** The most that may have to be held: bytes that have come, and those that may yet come. */
  get exposed(): number {
    return (this.#edge - this.#fwdCnt) >>> 0;
  }

  /** Is it CREDIT_REQUEST? The next packet answers it. */
  asked(op: VsockOp): boolean {
    this.#asked ||= op === VsockOp.CREDIT_REQUEST;
    return op === VsockOp.CREDIT_REQUEST;
  }

  /**
   * Must the guest be updated (V39)? Yes, if it believes that less fits than a packet, or than half
   * of its window if that is less, while more does; or if it has asked.
   */
  get updateDue(): boolean {
    if (this.#fwdCnt === this.#fwdCntSent) return false;
    if (this.#asked) return true;
    const believed = vsockCredit(this.#bufAlloc, this.#rxCnt, this.#fwdCntSent);
    const least = Math.max(this.#bufAlloc >>> 1, Math.min(this.#bufAlloc, SMALL_WINDOW));
    return believed < Math.min(VSOCK_PACKET_BYTES_MAX, least);
  }

  /** Every packet carries the current figures (V7). */
  stamp(packet: HostPacket): void {
    packet.bufAlloc = this.#bufAlloc;
    packet.fwdCnt = this.#fwdCntSent = this.#fwdCnt;
    if (this.#fwdCnt === this.#rxCnt) this.#asked = false;
  }

  #advance(): void {
    const edge = (this.#fwdCnt + this.#bufAlloc) >>> 0;
    if ((edge - this.#edge) >>> 0 <= 0x80000000) this.#edge = edge;
  }
}
