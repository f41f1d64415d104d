// The feature bits of a network device (virtio 5.1.3), and which of them need others.
import {
  NET_QUEUE_CONTROL,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
} from "../../../abi/net.ts";
import type { PairRules } from "./pair.ts";

const ALWAYS = [
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
];
const OFFLOADS = [
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
];
/** 5.1.3.1: a feature, and the one that it needs. */
const NEEDS: readonly (readonly [number, number])[] = [
  [VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_CSUM],
  [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_CSUM],
  [VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_VQ],
  [VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_CTRL_VQ],
  [VIRTIO_NET_F_MQ, VIRTIO_NET_F_CTRL_VQ],
];

export interface Offered {
  readonly offloads: boolean;
  readonly mergeable: boolean;
  readonly pairs: number;
}

export function featuresOf({ offloads, mergeable, pairs }: Offered): bigint {
  const bits = [...ALWAYS];
  if (offloads) bits.push(...OFFLOADS);
  if (mergeable) bits.push(VIRTIO_NET_F_MRG_RXBUF);
  if (pairs > 1) bits.push(VIRTIO_NET_F_MQ);
  return bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
}

/**
 * The number of the control queue: it follows the pairs, of which a driver without MQ knows one
 * (5.1.2). -1: the driver uses none.
 */
export function controlQueueOf(features: bigint, pairsMax: number): number {
  return hasFeature(features, VIRTIO_NET_F_CTRL_VQ) ? pairedQueues(features, pairsMax) : -1;
}

/** Queues that belong to pairs. */
export function pairedQueues(features: bigint, pairsMax: number): number {
  return hasFeature(features, VIRTIO_NET_F_MQ) ? 2 * pairsMax : NET_QUEUE_CONTROL;
}

/** How the driver wants its queues to be treated. */
export function rulesOf(features: bigint, picksBest: boolean): PairRules {
  const has = (bit: number) => hasFeature(features, bit);
  return {
    toGuest: { checksums: has(VIRTIO_NET_F_GUEST_CSUM), segments: has(VIRTIO_NET_F_GUEST_TSO4) },
    fromGuest: { checksums: has(VIRTIO_NET_F_CSUM), segments: has(VIRTIO_NET_F_HOST_TSO4) },
    isMerging: has(VIRTIO_NET_F_MRG_RXBUF),
    picksBest,
  };
}

export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** NW1: has each of them what it needs? */
export function areComplete(features: bigint): boolean {
  return NEEDS.every(([bit, need]) => !hasFeature(features, bit) || hasFeature(features, need));
}
