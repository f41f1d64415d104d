// Packets of the guest on their way to whom they are for: the tx queue.
import type { Chain, VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";
import type { PacketTap } from "./capture.ts";
import type { Flushing } from "./flushing.ts";
import { GuestPacket } from "./packet.ts";
import type { ToGuest } from "./to-guest.ts";

/** Takes a packet, which is good until it returns. True: it keeps the chain. */
export type PacketHandler = (packet: GuestPacket, chain: Chain) => boolean;

export class FromGuest {
  /** null while the guest's driver is not there. */
  queue: VirtQueue | null = null;
  /** The guest's; packets of another source are not its own (V8). */
  cid = 0;
  readonly #stats: VsockStats;
  /** Sees every packet; set before the driver is there. */
  tap: PacketTap | null;
  readonly #handle: PacketHandler;
  readonly #packet = new GuestPacket();

  constructor(stats: VsockStats, tap: PacketTap | null, handle: PacketHandler) {
    this.#stats = stats;
    this.tap = tap;
    this.#handle = handle;
  }

  /** Takes packets until there are none (false) or too many resets are due (true). */
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
      // A share of the ring: where it meets slow readers, the next ones are copied for.
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
