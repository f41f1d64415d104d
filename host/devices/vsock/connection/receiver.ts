// From the socket of one connection to the guest. There are two ways, and a connection moves on to
// the second when it has earned it, never back:
//
//   chunk     The socket lends what it has read; that is copied into rx chains.
//   in place  The socket reads into an rx chain reserved beforehand; no copy. For connections that
//             carry much, if the guest's buffers are large enough to be worth a read each, and
//             the host's sockets can.
//
//   socket ──▶ chunk ──▶ PendingChunk ──▶ rx chain
//   socket ──▶ rx chain (Landing)
//
// Flow control is the same for all. Bytes for which the guest has no credit or buffer wait as the
// one pending chunk, and the socket is paused until they are gone. If room becomes scarce in place,
// the guest gets its turn before reading stops: all it may need is a chance to return credit.
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Hub } from "../hub.ts";
import type { HostPacket } from "../rings/packet.ts";
import type { PacketSource } from "../rings/pending.ts";
import type { Route } from "../routes/route.ts";
import type { Credit } from "./credit.ts";
import { Deframer } from "./framing.ts";
import { Landing, type LandingOwner } from "./landing.ts";
import { CopyPath, type Ledger } from "./ledger.ts";
import { SINK } from "./peer.ts";
import { PendingChunk } from "./pending-chunk.ts";

/** After a read of this size the kernel may hold more. */
const READ_BYTES_MAX = 65536;
/** It carries much after this many bytes (one full chunk is enough) ... */
const BULK_BYTES = 65536;
/** ... in reads of at least this size. */
const BULK_READ_BYTES_MIN = 4096;
/** Reading into smaller buffers costs more than the copy that it saves. */
const LANDING_BYTES_MIN = 16384;

/** The connection, as its receiver sees it. */
export interface ReceiverOwner extends PacketSource {
  readonly route: Route;
  /** Client bytes are discarded. */
  readonly discards: boolean;
  /** May payload go to the guest now? */
  readonly sends: boolean;
  /** Client bytes came that were discarded. */
  unwanted(): void;
  /** Payload went to the guest. */
  delivered(): void;
  abort(): void;
  /** Fills in the header of the next packet. */
  stamp(packet: HostPacket, op: VsockOp, length: number): void;
}

export class Receiver implements LandingOwner {
  readonly #hub: Hub;
  readonly #connection: ReceiverOwner;
  readonly #credit: Credit;
  readonly #ledger: Ledger;
  readonly #pending: PendingChunk;
  #socket: StreamSocket = SINK;
  #landing: Landing | null = null;
  #bulk = 0;

  constructor(hub: Hub, connection: ReceiverOwner, credit: Credit, ledger: Ledger) {
    const isFramed = connection.route.type === VIRTIO_VSOCK_TYPE_SEQPACKET;
    this.#pending = new PendingChunk(isFramed ? new Deframer() : null);
    this.#hub = hub;
    this.#connection = connection;
    this.#credit = credit;
    this.#ledger = ledger;
  }

  attach(socket: StreamSocket): void {
    this.#socket = socket;
    this.#pending.attach(socket);
  }

  get inPlace(): boolean {
    return this.#landing !== null;
  }

  /** Bytes that wait for emit(). */
  get waiting(): number {
    return this.#pending.waiting;
  }

  /** Is a message incomplete? */
  get torn(): boolean {
    return this.#pending.messages?.torn ?? false;
  }

  /** Flags of the packet that emit() has filled. */
  get marks(): number {
    return this.#pending.marks;
  }

  /** Did reading stop only because credit ran out? */
  get starved(): boolean {
    if (this.#landing === null || this.discards) return false;
    return this.#pending.paused && this.#pending.waiting === 0;
  }

  /** May the kernel hold bytes of the client that were not read? */
  get unread(): boolean {
    return this.#pending.unread;
  }

  // ---- the socket's side

  data(chunk: Uint8Array): void {
    this.#pending.unread = chunk.length >= READ_BYTES_MAX;
    if (this.discards) {
      this.#connection.unwanted();
      this.#hub.settle();
      return;
    }
    this.#pending.put(chunk, CopyPath.ChunkIn);
    this.#checkMessage();
    this.#hub.toGuest.ready(this.#connection);
    this.#hub.toGuest.pump();
    if (this.#pending.waiting > 0) {
      this.#pending.keep(this.#ledger);
      this.#pending.pause();
    } else {
      this.#change(chunk.length);
    }
    this.#hub.settle(this.#alone);
  }

  /** The guest accepted. In mode "in-place" nothing is copied first. */
  established(): void {
    this.#checkMessage();
    if (this.#hub.receiveMode === "in-place" && this.#pending.messages === null) this.#land();
  }

  /** Resumes reading, once nothing waits and there is room for more. */
  readOn(): void {
    if (this.#mayRead) this.#pending.resume();
  }

  pause(): void {
    this.#pending.pause();
  }

  /** Client bytes are read and discarded from now on. */
  discard(): void {
    this.#pending.discard();
  }

  /** The socket reads no more. */
  end(): void {
    this.#landing?.release();
  }

  // ---- the guest's side

  /** Copies waiting bytes into the chain, as far as credit allows; returns how many. */
  emit(chain: Chain): number {
    const length = this.#pending.emit(chain, this.#credit.available, this.#ledger);
    this.#account(length, false);
    this.#checkMessage();
    this.readOn();
    return length;
  }

  // ---- reading into buffers of ours

  get discards(): boolean {
    return this.#connection.discards;
  }

  get room(): number {
    return Math.max(0, this.#credit.available - this.#pending.waiting);
  }

  get roomNow(): number {
    return this.#connection.sends && this.#pending.waiting === 0 ? this.#credit.available : 0;
  }

  get window(): number {
    return this.#credit.window;
  }

  landed(chain: Chain, length: number): number {
    const { stats, toGuest } = this.#hub;
    const { packet } = toGuest;
    this.#account(length, true);
    this.#connection.stamp(packet, VsockOp.RW, length);
    packet.write(chain);
    stats.packetsToGuest++;
    return VsockHdr.sizeof + length;
  }

  staged(bytes: Uint8Array, kept: boolean): void {
    this.#weigh(bytes.length);
    this.#pending.put(bytes, CopyPath.StageIn);
    this.#hub.toGuest.ready(this.#connection);
    this.#hub.toGuest.pump();
    if (!kept) this.#pending.keep(this.#ledger);
  }

  /**
   * If the next read is short of room, the guest gets its turn before the decision to pause: all it
   * may need is a chance to return credit and buffers.
   */
  arrived(full: boolean, scarce: boolean): void {
    this.#pending.unread = full;
    if (this.discards) this.#connection.unwanted();
    this.#hub.settle(scarce || this.#alone);
    if (this.discards || this.#mayRead) return;
    this.#pending.pause();
    this.#hub.toGuest.ready(this.#connection);
    this.#hub.settle();
  }

  // ---- inside

  /**
   * A message larger than the guest's window can never be delivered, and aborts the connection. The
   * window is known once the guest has accepted.
   */
  #checkMessage(): void {
    const { messages } = this.#pending;
    if (messages === null || messages.remaining === 0 || !this.#connection.sends) return;
    if (messages.length > this.#credit.window) this.#connection.abort();
  }

  /** No other connection could share the guest's next turn, so there is no point in waiting. */
  get #alone(): boolean {
    return this.#hub.stats.connections === 1;
  }

  get #mayRead(): boolean {
    if (this.discards || this.#pending.waiting > 0) return false;
    return this.#landing === null || this.#credit.available > 0;
  }

  #account(length: number, inPlace: boolean): void {
    this.#credit.sent(length);
    this.#ledger.toGuest(length, inPlace);
    this.#connection.delivered();
  }

  #weigh(bytes: number): void {
    if (bytes >= BULK_READ_BYTES_MIN) this.#bulk += bytes;
  }

  /** A chunk was delivered completely. Time to change to buffers of ours? */
  #change(bytes: number): void {
    if (this.#hub.receiveMode === "data" || this.#landing !== null) return;
    if (this.#pending.messages !== null) return; // frames must not reach the guest
    this.#weigh(bytes);
    if (this.#hub.receiveMode === "in-place" || this.#bulk >= BULK_BYTES) this.#land();
  }

  #land(): void {
    const ring = this.#hub.toGuest.ring;
    if (ring === null || this.discards || this.#pending.paused) return;
    const least = this.#hub.receiveMode === "in-place" ? 1 : LANDING_BYTES_MIN;
    const first = ring.reserve(least);
    if (first !== null) {
      const landing = new Landing(this, ring, first, least, this.#ledger);
      this.#landing = landing;
      if (this.#socket.readInto(landing)) return;
      landing.release();
      this.#landing = null;
    }
    this.#bulk = 0; // earn the next attempt
  }
}
