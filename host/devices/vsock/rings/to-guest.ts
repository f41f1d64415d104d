// Packets to the guest: the rx queue. Connections take turns at its buffers, after the resets that
// belong to no connection.
import { VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";
import { type GuestPacket, HostPacket } from "./packet.ts";
import { type PacketSource, ReadyList, ResetList } from "./pending.ts";
import { RxRing } from "./rx-ring.ts";
import type { PacketTap } from "./tap.ts";

export class ToGuest {
  /** Scratch: whoever fills it in writes it to a chain before returning. */
  readonly packet = new HostPacket();
  ring: RxRing | null = null;
  readonly #stats: VsockStats;
  #tap: PacketTap | null;
  readonly #ready = new ReadyList();
  readonly #resets = new ResetList();

  constructor(stats: VsockStats, tap: PacketTap | null) {
    this.#stats = stats;
    this.#tap = tap;
  }

  /** Sees every packet. */
  get tap(): PacketTap | null {
    return this.#tap;
  }

  set tap(tap: PacketTap | null) {
    this.#tap = tap;
    if (this.ring !== null) this.ring.tap = tap;
  }

  /** The driver is ready; it may have left rx unused. */
  begin(queue: VirtQueue | null): void {
    this.ring = queue === null ? null : new RxRing(queue, this.#stats, this.tap);
  }

  /** The driver is gone, and with it all that was due to it. */
  end(): void {
    this.clear();
    this.ring = null;
  }

  /** Nothing is due any more. */
  clear(): void {
    this.#resets.clear();
    this.#ready.clear();
  }

  /** The connection may have a packet to send. */
  ready(connection: PacketSource): void {
    this.#ready.add(connection);
  }

  /** Answers a packet that belongs to no connection by RST. Not while `full`. */
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

  /** One packet of the connection; returns its bytes, 0 if the chain is useless for it. */
  #fill(connection: PacketSource, chain: Chain): number {
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
