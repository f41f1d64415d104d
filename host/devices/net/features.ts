// The feature bits of a network device (virtio 5.1.3), and which of them need others.
import {
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

export function hasFeature(features: bigint, bit: number): boolean {
  return ((features >> BigInt(bit)) & 1n) === 1n;
}

/** NW1: has each of them what it needs? */
export function areComplete(features: bigint): boolean {
  return NEEDS.every(([bit, need]) => !hasFeature(features, bit) || hasFeature(features, need));
}
