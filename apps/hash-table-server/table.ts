// The table: open addressing with linear probing. The number of slots is fixed, and entries, which
// are blocks of the kernel's heap, take up to half of it: connections need the rest. Nothing here
// yields.
import {
  allocatedBytes,
  Errno,
  FNV_BASIS,
  fnv1a,
  heapBytes,
  ToroAllocMem,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";

/** Keys are no longer than this. */
export const KEY_BYTES_MAX: u32 = 256;

/** Key and value follow it. */
@unmanaged
export class Entry {
  keyBytes: u32;
  valueBytes: u32;
}

let slots: usize = 0; // u32 each: the address of an Entry, or 0
let slotCount: u32 = 0;
let used: u32 = 0;
let takenBytes: u64 = 0; // by all entries, with the heap's overhead

/** Makes the table. Returns 0, -EINVAL (no slots) or -ENOMEM. */
export function tableInit(count: u32): i32 {
  if (count == 0 || count > 1 << 24) return -Errno.EINVAL;
  slots = ToroAllocMem(count << 2);
  if (slots == 0) return -Errno.ENOMEM;
  slotCount = count;
  return 0;
}

/** Keys that are stored. */
export function keyCount(): u32 {
  return used;
}

export function valueOf(entry: Entry): usize {
  return keyOf(entry) + entry.keyBytes;
}

function keyOf(entry: Entry): usize {
  return changetype<usize>(entry) + offsetof<Entry>();
}

/** The slot of a key, or the free slot where it belongs; 0: the table is full. */
function slotOf(key: usize, bytes: u32): usize {
  let i = fnv1a(FNV_BASIS, key, bytes) % slotCount;
  for (let seen: u32 = 0; seen < slotCount; seen++) {
    const slot = slots + (i << 2);
    const entry = changetype<Entry>(<usize>load<u32>(slot));
    if (changetype<usize>(entry) == 0) return slot;
    if (entry.keyBytes == bytes && memory.compare(keyOf(entry), key, bytes) == 0) return slot;
    i = i + 1 == slotCount ? 0 : i + 1;
  }
  return 0;
}

/** Null: there is no such key. The entry is valid until the key is stored again. */
export function find(key: usize, bytes: u32): Entry | null {
  const slot = slotOf(key, bytes);
  return slot == 0 ? null : changetype<Entry | null>(<usize>load<u32>(slot));
}

/**
 * Copies key and value, replacing an older value. Returns 0, -ENOSPC (no slot is free, or
 * half of the heap is taken) or -ENOMEM.
 */
export function put(key: usize, keyBytes: u32, value: usize, valueBytes: u32): i32 {
  const slot = slotOf(key, keyBytes);
  if (slot == 0) return -Errno.ENOSPC;
  const old = load<u32>(slot);
  const oldBytes = old == 0 ? 0 : allocatedBytes(old);
  const bytes = offsetof<Entry>() + keyBytes + valueBytes;
  if (takenBytes - oldBytes + bytes > heapBytes() >> 1) return -Errno.ENOSPC;
  const address = ToroGetMem(bytes);
  if (address == 0) return -Errno.ENOMEM;
  takenBytes += allocatedBytes(address);
  const entry = changetype<Entry>(address);
  entry.keyBytes = keyBytes;
  entry.valueBytes = valueBytes;
  memory.copy(keyOf(entry), key, keyBytes);
  memory.copy(valueOf(entry), value, valueBytes);
  store<u32>(slot, <u32>address);
  takenBytes -= oldBytes;
  if (old == 0) used++;
  else ToroFreeMem(old);
  return 0;
}
