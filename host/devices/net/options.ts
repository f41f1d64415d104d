// Options of a network device, checked.
import { NET_MTU_DEFAULT } from "../../../abi/net.ts";
import type { Network } from "./network.ts";
import type { FrameTap } from "./tap.ts";

/** A card: its network, its address and its limits. */
export interface NetOptions {
  /** The card is plugged into it. */
  readonly network: Network;
  /** Default: 02:74:6f:00:00:01. A network wants a different one of each card. */
  readonly mac?: string;
  /** Bytes of an IP packet, 1280 to 65520. Default: the network's, or 1500. */
  readonly mtu?: number;
  /**
   * Does the guest leave checksums and the cutting of long segments to the network, if that carries
   * them, and the network to the guest? Default: true.
   */
  readonly offloads?: boolean;
  /** May a frame fill several of the guest's buffers? Default: true. */
  readonly mergeable?: boolean;
  /**
   * Which of the guest's buffers a frame gets, if they differ: the first that was found to hold it,
   * or one of the smallest of all that are posted. Default: "first".
   */
  readonly pick?: "first" | "fit";
  /** Pairs of queues that the guest may use, 1 to 8. Default: 1. */
  readonly pairs?: number;
  /**
   * How a frame finds its pair: by the flow that it belongs to, or, against the specification and
   * for measurements, those longer than 1514 bytes take the second. Default: "flow".
   */
  readonly steer?: "flow" | "size";
  /** Sees every frame. */
  readonly capture?: FrameTap | null;
}

export const MAC_DEFAULT = "02:74:6f:00:00:01";
/** 5.1.4.1: a device should not offer less. */
const MTU_LEAST = 1280;
/** The guest's driver holds this with its header in a buffer of 64 KiB. */
const MTU_MOST = 65520;

const PAIRS_MOST = 8;

/** Throws RangeError. */
export function checkPairs(pairs = 1): number {
  if (Number.isInteger(pairs) && pairs >= 1 && pairs <= PAIRS_MOST) return pairs;
  throw new RangeError(`net: ${pairs} pairs of queues, it is 1 to ${PAIRS_MOST}`);
}

/** Throws RangeError if there is no such MTU (NW2). */
export function checkMtu(mtu = NET_MTU_DEFAULT): number {
  if (Number.isInteger(mtu) && mtu >= MTU_LEAST && mtu <= MTU_MOST) return mtu;
  throw new RangeError(`net: MTU ${mtu}, it is ${MTU_LEAST} to ${MTU_MOST}`);
}
