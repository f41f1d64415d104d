// The objects of a handle table of the kernel (kernel/handle.ts).
import type { GuestReader } from "./guest-reader.ts";
import type { Layout } from "./layout.ts";

const SLOTS_MAX = 65536;

/** Addresses of the objects, at most as many as a table has slots. */
export function* objectsOf(reader: GuestReader, layout: Layout, at: number): Generator<number> {
  const { table, slot } = layout;
  const slots = reader.u32(at + table.slots);
  const capacity = Math.min(reader.u32(at + table.capacity), SLOTS_MAX);
  for (let i = 0; i < capacity; i++) {
    const object = reader.u32(slots + i * slot.bytes + slot.object);
    if (object !== 0) yield object;
  }
}
