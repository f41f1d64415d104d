// Packets from the guest: the tx queue.
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";
import type { Flushing } from "./flushing.ts";
import { GuestPacket } from "./packet.ts";
import type { PacketTap } from "./tap.ts";
import type { ToGuest } from "./to-guest.ts";

/** Handles a packet, which is valid until it returns. True: it keeps the chain. */
export type PacketHandler = (packet: GuestPacket, chain: Chain) => boolean;

export class FromGuest {
  /** null while the guest has no driver. */
  queue: VirtQueue | null = null;
  /** The guest's CID. Packets from any other source are rejected (V8). */
  cid = 0;
  readonly #stats: VsockStats;
  /** Sees every packet; set before the driver is ready. */
  tap: PacketTap | null;
  readonly #handle: PacketHandler;
  readonly #packet = new GuestPacket();

  constructor(stats: VsockStats, tap: PacketTap | null, handle: PacketHandler) {
    this.#stats = stats;
    this.tap = tap;
    this.#handle = handle;
  }

  /** Handles packets until there are none (false) or too many resets are due (true). */
  take(flushing: Flushing, toGuest: ToGuest): boolean {
    const { queue } = this;
    if (queue === null) return false;
    let held = 0;
    let more = true;
    while (!toGuest.full) {
      const chain = queue.pop();
      if (chain === null) {
        more = false;
        break;
      }
      if (this.#receive(chain)) held += chain.count;
      else chain.release(0);
      // Flush before the chains held are a large share of the ring: if their readers are slow, the
      // packets that follow are copied.
      if (held > queue.size >> 3) {
        flushing.run();
        held = 0;
      }
    }
    flushing.run();
    return more;
  }

  #receive(chain: Chain): boolean {
    if (this.tap !== null) this.tap.fromGuest(chain);
    if (this.#packet.read(chain, this.cid)) return this.#handle(this.#packet, chain);
    this.#stats.rejected++;
    return false;
  }
}
