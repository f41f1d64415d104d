// A card and the network that it is plugged into: how the two see each other.
import type { NetConnection } from "../../device.ts";
import type { Frame } from "./frame.ts";
import type { Borrower, Loan } from "./loan.ts";
import type { OffloadRights } from "./offload/offload.ts";

/** Addresses and ports of a frame to the guest. */
export interface Envelope {
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly port: number;
}

/** A card, as its network sees it. */
export interface Card {
  readonly mac: number;
  /** Bytes of an IP packet. */
  readonly mtu: number;
  /** Work on a frame that its guest does itself; nothing without a driver. */
  readonly takes: OffloadRights;
  /**
   * A frame for the guest. It is in the guest's ring when this returns, or waits in a bounded
   * queue, or is dropped and counted. Never runs the guest.
   */
  deliver(frame: Frame): void;
  /**
   * Does a frame wait for the guest to post buffers? A network that can wait delivers no other one
   * until Port.posted(), or Port.forget().
   */
  readonly isFull: boolean;
  /**
   * deliver() for a network that keeps the frame itself: false, if the guest has posted no buffer,
   * and nothing has happened. Port.posted() follows when it has.
   */
  offer(frame: Frame): boolean;
  /**
   * A buffer that the guest has posted, for a segment of that connection. null: it has posted none,
   * or frames wait for it. It may be recalled at any time: if a frame needs it, or the guest's
   * driver is gone.
   */
  lend(envelope: Envelope, borrower: Borrower): Loan | null;
  /** Frames have been delivered: interrupts the guest and asks for its turn, which comes later. */
  settle(): void;
  /** Port.hasLink has changed: the guest learns of it. */
  linkChanged(): void;
  /** Monotonic nanoseconds of the machine's clock; 0 before the card is in a machine. */
  now(): number;
  /** One-shot timer of that clock; returns what cancels it. Without a machine it never fires. */
  after(ms: number, callback: () => void): () => void;
}

/** A place in a network, as its card sees it. */
export interface Port {
  /** Does the port lead anywhere? Otherwise the card's link is down. */
  readonly hasLink: boolean;
  /** A frame of the guest, of 14 bytes at least. It is copied or dropped before this returns. */
  send(frame: Frame): void;
  /** The frames of a turn have been sent. */
  flush(): void;
  /** The guest may have posted buffers. Frames that wait in the card have been placed. */
  posted?(): void;
  /** TCP connections that end here, the oldest first. Missing: it carries frames only. */
  connections?(): readonly NetConnection[];
  /** The guest has no driver any more: nothing leads to it until it sends again. */
  forget(): void;
  /** The card is disposed. */
  leave(): void;
}

/** A network: NetSwitch, StreamNetwork, or UserNetwork. */
export interface Network {
  /**
   * Does it take frames with an offload, and do the work or pass it on? Only then do its cards
   * offer that to their guests. Cards take such frames in any case. Default: no.
   */
  readonly carriesOffloads?: boolean;
  /** The MTU of a card that is not told another one. Missing: 1500. */
  readonly mtu?: number;
  /** Called by a device when it is made. Throws if the MAC is taken, or there is no port left. */
  join(card: Card): Port;
}
