// The queue for rx buffers: connections that have a packet to send, served in turn, and resets
// without a connection. Packets themselves are never queued.
import type { VsockOp } from "../../../../abi/vsock.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { GuestPacket, HostPacket } from "./packet.ts";

/** A connection, as the rx ring sees it. */
export interface PacketSource {
  /** Links of the ready list. */
  nextReady: PacketSource | null;
  isReady: boolean;
  /** The packet that emit() would send now; INVALID: none. */
  nextOp(): VsockOp;
  /** Payload bytes that this packet could carry. */
  readonly nextBytes: number;
  /**
   * Writes it into an rx chain with room for a header; returns its bytes, 0: the chain is useless.
   */
  emit(chain: Chain, packet: HostPacket): number;
}

/** First in, first out. A connection is in it at most once, which bounds it. */
export class ReadyList {
  #first: PacketSource | null = null;
  #last: PacketSource | null = null;

  /** The next connection that has a packet to send; it stays in the list. */
  peek(): PacketSource | null {
    while (this.#first !== null && this.#first.nextOp() === 0) this.#drop(this.#first);
    return this.#first;
  }

  add(connection: PacketSource): void {
    if (connection.isReady) return;
    connection.isReady = true;
    if (this.#last === null) this.#first = connection;
    else this.#last.nextReady = connection;
    this.#last = connection;
  }

  /** The first one has been served: it goes to the end if it has more to send. */
  rotate(): void {
    const connection = this.#first;
    if (connection === null) return;
    this.#drop(connection);
    if (connection.nextOp() !== 0) this.add(connection);
  }

  clear(): void {
    while (this.#first !== null) this.#drop(this.#first);
  }

  #drop(connection: PacketSource): void {
    this.#first = connection.nextReady;
    if (this.#first === null) this.#last = null;
    connection.nextReady = null;
    connection.isReady = false;
  }
}

const RESETS_MAX = 256;

/**
 * Resets without a connection. While it is full, the device takes no packets from the guest (V5).
 */
export class ResetList {
  readonly #cids = new Uint32Array(RESETS_MAX);
  readonly #hostPorts = new Uint32Array(RESETS_MAX);
  readonly #guestPorts = new Uint32Array(RESETS_MAX);
  readonly #types = new Uint16Array(RESETS_MAX);
  #head = 0;
  #count = 0;

  get empty(): boolean {
    return this.#count === 0;
  }

  get full(): boolean {
    return this.#count === RESETS_MAX;
  }

  /** The answer to `packet` is a reset. */
  push(packet: GuestPacket): void {
    const at = (this.#head + this.#count++) % RESETS_MAX;
    this.#cids[at] = packet.dstCid;
    this.#hostPorts[at] = packet.dstPort;
    this.#guestPorts[at] = packet.srcPort;
    this.#types[at] = packet.type;
  }

  /** Moves the oldest into the addresses and the type of `packet`. */
  shift(packet: HostPacket): void {
    const at = this.#head;
    this.#head = (at + 1) % RESETS_MAX;
    this.#count--;
    const cid = this.#cids[at] as number;
    packet.address(cid, this.#hostPorts[at] as number, this.#guestPorts[at] as number);
    packet.type = this.#types[at] as number;
  }

  clear(): void {
    this.#count = 0;
  }
}
