// From the socket of one connection to the guest. It begins with chunks of Node's; a connection
// that lasts reads into the one staging buffer of all, and one that carries much into rx chains.
//
//   socket ──▶ chunk, or staging buffer ──▶ Inbound ──▶ rx chain     one copy
//   socket ──▶ rx chain, chosen before (Landing)                     none
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Hub } from "../hub.ts";
import type { Connection } from "./connection.ts";
import type { Credit } from "./credit.ts";
import { Deframer } from "./framing.ts";
import { Inbound } from "./inbound.ts";
import { Landing, type LandingOwner } from "./landing.ts";
import { CopyPath, type Ledger } from "./ledger.ts";
import { SINK } from "./peer.ts";

/** A read of this size may have left more in the kernel. */
const READ_BYTES_MAX = 65536;
/** A connection lasts with this chunk: from here on Node need not allocate any more. */
const LASTING_CHUNKS = 16;
/** It carries much when so many bytes have come, with the first full chunk at once ... */
const BULK_BYTES = 65536;
/** ... in reads of at least so many. */
const BULK_READ_BYTES_MIN = 4096;
/** Reads into smaller buffers cost more than the copy that they save. */
const LANDING_BYTES_MIN = 16384;

export class Receiver implements LandingOwner {
  readonly #hub: Hub;
  readonly #connection: Connection;
  readonly #credit: Credit;
  readonly #ledger: Ledger;
  readonly #in: Inbound;
  #socket: StreamSocket = SINK;
  #landing: Landing | null = null;
  #chunks = 0;
  #bulk = 0;

  constructor(hub: Hub, connection: Connection, credit: Credit, ledger: Ledger) {
    const isFramed = connection.route.type === VIRTIO_VSOCK_TYPE_SEQPACKET;
    this.#in = new Inbound(isFramed ? new Deframer() : null);
    this.#hub = hub;
    this.#connection = connection;
    this.#credit = credit;
    this.#ledger = ledger;
  }

  attach(socket: StreamSocket): void {
    this.#socket = socket;
    this.#in.attach(socket);
  }

  get inPlace(): boolean {
    return this.#landing !== null && this.carriesMuch;
  }

  /** Bytes that wait for emit(). */
  get waiting(): number {
    return this.#in.waiting;
  }

  /** Has a message begun that is not whole? */
  get torn(): boolean {
    return this.#in.messages?.torn ?? false;
  }

  /** Flags of the packet that emit() has filled. */
  get marks(): number {
    return this.#in.marks;
  }

  /** Did reading stop for want of credit alone? */
  get starved(): boolean {
    if (this.#landing === null || this.discards) return false;
    return this.#in.paused && this.#in.waiting === 0;
  }

  /** May the kernel hold bytes of the client that were not read? */
  get unread(): boolean {
    return this.#in.unread;
  }

  // ---- the socket's side

  data(chunk: Uint8Array): void {
    this.#in.unread = chunk.length >= READ_BYTES_MAX;
    if (this.discards) {
      this.#connection.unwanted();
      this.#hub.settle();
      return;
    }
    this.#in.put(chunk, CopyPath.ChunkIn);
    this.#checkMessage();
    this.#hub.ready(this.#connection);
    this.#hub.pump();
    if (this.#in.waiting > 0) this.#in.pause();
    else this.#change(chunk.length);
    this.#hub.settle(this.#alone);
  }

  /** The guest accepted: nothing need be copied first, if that is the setting. */
  established(): void {
    this.#checkMessage();
    if (this.#hub.receiveMode === "in-place" && this.#in.messages === null) this.#land();
  }

  /** Reads on, once nothing waits and there is room for what will come. */
  readOn(): void {
    if (this.#mayRead) this.#in.resume();
  }

  pause(): void {
    this.#in.pause();
  }

  /** Bytes of the client lead nowhere from now on: they are read, and forgotten. */
  discard(): void {
    this.#in.discard();
  }

  /** Nothing will be read any more. */
  end(): void {
    this.#landing?.release();
  }

  // ---- the guest's side

  /** Copies what waits into the chain, as far as there is credit; returns the bytes. */
  emit(chain: Chain): number {
    const length = this.#in.emit(chain, this.#credit.available, this.#ledger);
    this.#account(length, false);
    this.#checkMessage();
    this.readOn();
    return length;
  }

  // ---- reading into buffers of ours

  get discards(): boolean {
    return this.#connection.discards;
  }

  get carriesMuch(): boolean {
    return this.#hub.receiveMode === "in-place" || this.#bulk >= BULK_BYTES;
  }

  get room(): number {
    return Math.max(0, this.#credit.available - this.#in.waiting);
  }

  get roomNow(): number {
    return this.#connection.sends && this.#in.waiting === 0 ? this.#credit.available : 0;
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
    this.#in.put(bytes, CopyPath.StageIn);
    this.#hub.ready(this.#connection);
    this.#hub.pump();
    if (!kept) this.#in.keep(this.#ledger);
  }

  /**
   * Where the next read is short of room, the guest has its turn before it is decided whether to
   * read on: to give credit and buffers back is all that it may have to do.
   */
  arrived(full: boolean, scarce: boolean): void {
    this.#in.unread = full;
    if (this.discards) this.#connection.unwanted();
    this.#hub.settle(scarce || this.#alone);
    if (this.discards || this.#mayRead) return;
    this.#in.pause();
    this.#hub.ready(this.#connection);
    this.#hub.settle();
  }

  // ---- inside

  /**
   * A message that is more than the guest will ever have room for ends the connection: once the
   * guest has accepted, for until then its window is not known.
   */
  #checkMessage(): void {
    const { messages } = this.#in;
    if (messages === null || messages.remaining === 0 || !this.#connection.sends) return;
    if (messages.length > this.#credit.window) this.#connection.abort();
  }

  /** Nobody else's bytes could share the guest's next turn, so there is no use in waiting. */
  get #alone(): boolean {
    return this.#hub.stats.connections === 1;
  }

  get #mayRead(): boolean {
    if (this.discards || this.#in.waiting > 0) return false;
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

  /** A chunk was delivered whole, and nothing of it waits: is it the last one? */
  #change(bytes: number): void {
    if (this.#hub.receiveMode === "data" || this.#landing !== null) return;
    if (this.#in.messages !== null) return; // the frames between them are not the guest's
    this.#weigh(bytes);
    this.#chunks++;
    if (this.carriesMuch || this.#chunks >= LASTING_CHUNKS) this.#land();
  }

  #land(): void {
    const ring = this.#hub.toGuest.ring;
    if (ring === null || this.discards || this.#in.paused) return;
    const least = this.#hub.receiveMode === "in-place" ? 1 : LANDING_BYTES_MIN;
    const first = this.carriesMuch ? ring.arm(least) : null;
    if (first !== null || this.#chunks >= LASTING_CHUNKS) {
      const landing = new Landing(this, ring, first, least, this.#ledger);
      this.#landing = landing;
      if (this.#socket.readInto(landing)) return;
      landing.release();
      this.#landing = null;
    }
    this.#bulk = 0; // it has to earn another attempt
    if (this.#chunks >= LASTING_CHUNKS) this.#chunks = 0;
  }
}
