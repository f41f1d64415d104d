// The objects of a handle table of the kernel (kernel/handle.ts).
import type { GuestReader } from "./guest-reader.ts";
import type { Layout } from "./layout.ts";

const SLOTS_MAX = 65536;

export interface Objects {
  readonly total: number;
  /** Addresses of the first ones. */
  readonly first: readonly number[];
}

/** Of the table at that address, which may claim anything: how many objects, and the first ones. */
export function objectsOf(
  reader: GuestReader,
  { table, slot }: Layout,
  at: number,
  most: number,
): Objects {
  const slots = reader.u32(at + table.slots);
  const capacity = Math.min(reader.u32(at + table.capacity), SLOTS_MAX);
  const first: number[] = [];
  let total = 0;
  const words = reader.words(slots + slot.object, capacity, slot.bytes);
  for (let i = 0; i < words.length; i++) {
    const object = words[i] as number;
    if (object === 0) continue;
    total++;
    if (first.length < most) first.push(object);
  }
  return { total, first };
}
