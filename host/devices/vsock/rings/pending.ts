// What waits for an rx buffer: connections with something to say, served in turn, and resets for
// packets that belong to no connection. Packets themselves are never queued.
import type { Connection } from "../connection/connection.ts";
import type { GuestPacket, HostPacket } from "./packet.ts";

/** First in, first out; a connection is in it at most once, so connections bound it. */
export class ReadyList {
  #first: Connection | null = null;
  #last: Connection | null = null;

  /** The next connection that still has something to say; stays in the list. */
  peek(): Connection | null {
    while (this.#first !== null && this.#first.nextOp() === 0) this.#drop(this.#first);
    return this.#first;
  }

  add(connection: Connection): void {
    if (connection.listed) return;
    connection.listed = true;
    if (this.#last === null) this.#first = connection;
    else this.#last.nextReady = connection;
    this.#last = connection;
  }

  /** The first one has been served: behind all others, if it has more to say. */
  rotate(): void {
    const connection = this.#first;
    if (connection === null) return;
    this.#drop(connection);
    if (connection.nextOp() !== 0) this.add(connection);
  }

  clear(): void {
    while (this.#first !== null) this.#drop(this.#first);
  }

  #drop(connection: Connection): void {
    this.#first = connection.nextReady;
    if (this.#first === null) this.#last = null;
    connection.nextReady = null;
    connection.listed = false;
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
