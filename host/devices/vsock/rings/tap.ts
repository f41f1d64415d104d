// An observer of a device's packets. It sees them in the order in which they are moved.
import type { Chain } from "../../../virtqueue.ts";

/** Sees every packet of a device, in the order in which they are moved; option `capture` of one. */
export interface PacketTap {
  /** A tx chain, before any of it has been validated. */
  fromGuest(chain: Chain): void;
  /** An rx chain with a packet of `written` bytes, before it is released. */
  toGuest(chain: Chain, written: number): void;
}
