// What the device says to the guest: connections take turns at the rx buffers, behind the resets
// that belong to no connection.
import { VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { Connection } from "../connection/connection.ts";
import type { VsockStats } from "../stats.ts";
import type { PacketTap } from "./capture.ts";
import { type GuestPacket, HostPacket } from "./packet.ts";
import { ReadyList, ResetList } from "./pending.ts";
import { RxRing } from "./rx-ring.ts";

export class ToGuest {
  /** For whoever writes a packet, and gives it away before it returns. */
  readonly packet = new HostPacket();
  ring: RxRing | null = null;
  readonly #stats: VsockStats;
  /** Sees every packet; set before the driver is there. */
  tap: PacketTap | null;
  readonly #ready = new ReadyList();
  readonly #resets = new ResetList();

  constructor(stats: VsockStats, tap: PacketTap | null) {
    this.#stats = stats;
    this.tap = tap;
  }

  /** The driver is there; it may have left rx unused. */
  begin(queue: VirtQueue | null): void {
    this.ring = queue === null ? null : new RxRing(queue, this.#stats, this.tap);
  }

  /** The driver is gone, and with it what it should have heard. */
  end(): void {
    this.clear();
    this.ring = null;
  }

  /** Nothing of what was to be said is any more. */
  clear(): void {
    this.#resets.clear();
    this.#ready.clear();
  }

  /** The connection may have something to say. */
  ready(connection: Connection): void {
    this.#ready.add(connection);
  }

  /** The answer to a packet that belongs to no connection; while `full` there is no room for it. */
  reset(packet: GuestPacket): void {
    this.#resets.push(packet);
  }

  get full(): boolean {
    return this.#resets.full;
  }

  /** Fills rx buffers with what is ready. */
  pump(): void {
    const { ring } = this;
    if (ring === null) return;
    for (;;) {
      const connection = this.#resets.empty ? this.#ready.peek() : null;
      if (connection === null && this.#resets.empty) return;
      const chain = ring.take(connection?.nextBytes ?? 0);
      if (chain === null) return;
      const reset = connection === null;
      ring.give(chain, reset ? this.#fillReset(chain) : this.#fill(connection, chain));
    }
  }

  signal(): void {
    this.ring?.queue.signal();
  }

  /** One packet of the connection; returns its bytes, 0 if the chain is of no use for it. */
  #fill(connection: Connection, chain: Chain): number {
    const reset = connection.nextOp() === VsockOp.RST;
    const written = connection.emit(chain, this.packet);
    if (reset) this.#stats.resetsSent++;
    this.#ready.rotate();
    if (written === 0) this.#stats.rejected++;
    else this.#stats.packetsToGuest++;
    return written;
  }

  #fillReset(chain: Chain): number {
    const { packet } = this;
    this.#resets.shift(packet);
    packet.op = VsockOp.RST;
    packet.len = packet.flags = packet.bufAlloc = packet.fwdCnt = 0;
    packet.write(chain);
    this.#stats.resetsSent++;
    this.#stats.packetsToGuest++;
    return VsockHdr.sizeof;
  }
}
