// The four kinds of ring that the two features of split rings make (virtio 2.7): what conforms on
// one of them has to on all.
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../../abi/virtio.ts";

export interface RingKind {
  readonly name: string;
  /** Was EVENT_IDX negotiated? Else flags say who wants to be notified. */
  readonly eventIdx: boolean;
  /** Was INDIRECT_DESC negotiated? Then every chain is put into a table of its own. */
  readonly indirect: boolean;
  /** Feature bits that the device withholds, so that a driver gets rings of this kind. */
  readonly withheld: bigint;
}

function kind(name: string, eventIdx: boolean, indirect: boolean): RingKind {
  const without = (has: boolean, bit: number) => (has ? 0n : 1n << BigInt(bit));
  const withheld =
    without(eventIdx, VIRTIO_F_EVENT_IDX) | without(indirect, VIRTIO_F_INDIRECT_DESC);
  return { name, eventIdx, indirect, withheld };
}

/** For describe.each(RING_KINDS)("... ($name)", (rings) => ...). */
export const RING_KINDS: readonly RingKind[] = [
  kind("flags, direct", false, false),
  kind("flags, indirect", false, true),
  kind("event index, direct", true, false),
  kind("event index, indirect", true, true),
];

/** Rings without either feature. */
export const PLAIN_RINGS = RING_KINDS[0] as RingKind;

/** The same for a driver: its name, and GuestOptions.withheld. */
export const RINGS = RING_KINDS.map(({ name, withheld }) => [name, withheld] as const);
