// Handles stand for kernel objects outside the kernel. A handle is a slot and its generation, so
// that a stale handle is an error and never another object.
import { Errno } from "../abi/errno";
import { ToroReAllocMem } from "./memory";

const SLOT_BITS: u32 = 16;
const SLOTS_MAX: u32 = 1 << SLOT_BITS;
const GENERATION_MASK: u32 = 0x7fff; // handles stay positive
const NO_SLOT: u32 = 0xffff_ffff;

@unmanaged
export class Slot {
  object: usize; // 0: free, and `next` is valid
  generation: u32;
  next: u32;
}

/** A table of up to 65,536 objects, in static memory of its owner. It grows and never shrinks. */
@unmanaged
export class HandleTable {
  private slots: usize;
  private capacity: u32;
  private freeSlot: u32; // a list, oldest first, so that generations wear evenly
  private lastFree: u32;
  /** Objects in the table. */
  count: u32;

  private slot(index: u32): Slot {
    return changetype<Slot>(this.slots + index * offsetof<Slot>());
  }

  /** Returns the new handle, positive, or -ENFILE or -ENOMEM. */
  add(object: usize): i32 {
    if (this.count == this.capacity) {
      const grown = this.grow();
      if (grown < 0) return grown;
    }
    const index = this.freeSlot;
    const slot = this.slot(index);
    this.freeSlot = slot.next;
    slot.object = object;
    this.count++;
    return <i32>((slot.generation << SLOT_BITS) | index);
  }

  /** The object, or 0 for a handle that is not (or no longer) one. */
  get(handle: i32): usize {
    const index = <u32>handle & (SLOTS_MAX - 1);
    if (handle <= 0 || index >= this.capacity) return 0;
    const slot = this.slot(index);
    return slot.generation == <u32>handle >> SLOT_BITS ? slot.object : 0;
  }

  remove(handle: i32): void {
    assert(this.get(handle) != 0, "handle: removed twice");
    const index = <u32>handle & (SLOTS_MAX - 1);
    const slot = this.slot(index);
    slot.object = 0;
    slot.generation = nextGeneration(slot.generation);
    slot.next = NO_SLOT;
    if (this.count == this.capacity) this.freeSlot = index;
    else this.slot(this.lastFree).next = index;
    this.lastFree = index;
    this.count--;
  }

  private grow(): i32 {
    const before = this.capacity;
    if (before == SLOTS_MAX) return -Errno.ENFILE;
    const after: u32 = before == 0 ? 64 : before * 2;
    const slots = ToroReAllocMem(this.slots, after * offsetof<Slot>());
    if (slots == 0) return -Errno.ENOMEM;
    this.slots = slots;
    this.capacity = after;
    for (let i = before; i < after; i++) {
      const slot = this.slot(i);
      slot.object = 0;
      slot.generation = 1;
      slot.next = i + 1 == after ? NO_SLOT : i + 1;
    }
    this.freeSlot = before;
    this.lastFree = after - 1;
    return 0;
  }
}

function nextGeneration(generation: u32): u32 {
  const next = (generation + 1) & GENERATION_MASK;
  return next == 0 ? 1 : next;
}
