// Every combination of the ring features that a device may withhold (virtio 2.7.5.3, 2.7.7), for
// describe.each: its name, and GuestOptions.withheld.
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../drivers/abi/virtio.ts";

const bit = (feature: number) => 1n << BigInt(feature);

export const RINGS: readonly (readonly [string, bigint])[] = [
  ["EVENT_IDX and INDIRECT_DESC", 0n],
  ["EVENT_IDX", bit(VIRTIO_F_INDIRECT_DESC)],
  ["INDIRECT_DESC", bit(VIRTIO_F_EVENT_IDX)],
  ["neither", bit(VIRTIO_F_EVENT_IDX) | bit(VIRTIO_F_INDIRECT_DESC)],
];
