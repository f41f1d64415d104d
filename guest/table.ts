// A table of strings by key that outlives requests: copies in blocks of the kernel's heap.
import {
  allocatedBytes,
  Errno,
  randomBytes,
  sipHash13,
  ToroAllocMem,
  ToroFreeMem,
  ToroGetMem,
} from "../kernel/api";

const SLOTS_FIRST: u32 = 16;
const ENTRIES_MAX: u32 = 1 << 24;

/** An entry; its key and value follow it as UTF-16. */
@unmanaged
class Entry {
  hash: u32;
  keyBytes: u32;
  valueBytes: u32;
  place: u32; // in the order of insertion
}

const drawn: usize = memory.data(16);

/**
 * A map from strings to strings. It copies what it is given, and returns copies. Its entries are in
 * the order in which their keys were set first.
 */
@final
export class Table {
  private slots: usize = 0; // u32 each: an entry, 0: free
  private slotCount: u32 = 0;
  private order: usize = 0; // u32 each: an entry, 0: deleted
  private ordered: u32 = 0; // of `order`, deleted ones too; it has as many places as slots
  private count: u32 = 0;
  private takenBytes: u64 = 0;
  private k0: u64 = 0; // the secret key of the hash
  private k1: u64 = 0;

  /** Of at most `entriesMax` entries, which together take at most `bytesMax` bytes of the heap. */
  constructor(
    private entriesMax: u32 = 65536,
    private bytesMax: u64 = 16 << 20,
  ) {}

  /** Entries in the table. */
  get size(): i32 {
    return <i32>this.count;
  }

  /** Has the key a value? */
  has(key: string): bool {
    return this.find(key) != 0;
  }

  /** The value of a key, or null. */
  get(key: string): string | null {
    const entry = this.find(key);
    if (entry == 0) return null;
    const e = changetype<Entry>(entry);
    return stringAt(keyOf(entry) + e.keyBytes, e.valueBytes);
  }

  /**
   * Sets the value of a key. Returns 0; or -ENOSPC at one of the bounds, or -ENOMEM: then nothing
   * has changed.
   */
  set(key: string, value: string): i32 {
    const keyBytes = <u32>key.length << 1;
    const valueBytes = <u32>value.length << 1;
    const old = this.find(key);
    if (old == 0 && this.count >= min(this.entriesMax, ENTRIES_MAX)) return -Errno.ENOSPC;
    if (old == 0 && !this.makeRoom()) return -Errno.ENOMEM;
    const entry = ToroGetMem(offsetof<Entry>() + keyBytes + valueBytes);
    if (entry == 0) return -Errno.ENOMEM;
    const freed: u64 = old == 0 ? 0 : allocatedBytes(old);
    const taken = this.takenBytes - freed + allocatedBytes(entry);
    if (taken > this.bytesMax) {
      ToroFreeMem(entry);
      return -Errno.ENOSPC;
    }
    this.takenBytes = taken;
    const e = changetype<Entry>(entry);
    e.hash = this.hash(key);
    e.keyBytes = keyBytes;
    e.valueBytes = valueBytes;
    memory.copy(keyOf(entry), changetype<usize>(key), keyBytes);
    memory.copy(keyOf(entry) + keyBytes, changetype<usize>(value), valueBytes);
    if (old != 0) {
      e.place = changetype<Entry>(old).place;
      store<u32>(this.slotOf(old), <u32>entry);
      store<u32>(this.order + (e.place << 2), <u32>entry);
      ToroFreeMem(old);
      return 0;
    }
    e.place = this.ordered++;
    store<u32>(this.order + (e.place << 2), <u32>entry);
    store<u32>(this.freeSlot(e.hash), <u32>entry);
    this.count++;
    return 0;
  }

  /** Removes a key. Returns whether it was there. */
  delete(key: string): bool {
    const entry = this.find(key);
    if (entry == 0) return false;
    this.takenBytes -= allocatedBytes(entry);
    store<u32>(this.order + (changetype<Entry>(entry).place << 2), 0);
    this.emptySlot(this.slotOf(entry));
    ToroFreeMem(entry);
    this.count--;
    return true;
  }

  /** A cursor at the first entry, or -1. New keys make cursors invalid; deleting does not. */
  first(): i32 {
    return this.next(-1);
  }

  /** The cursor after `cursor`, or -1. */
  next(cursor: i32): i32 {
    for (let i = <u32>(cursor + 1); i < this.ordered; i++) {
      if (load<u32>(this.order + (i << 2)) != 0) return <i32>i;
    }
    return -1;
  }

  /** The key of the entry at a cursor. Throws for a cursor that has none. */
  keyAt(cursor: i32): string {
    const entry = this.entryAt(cursor);
    return stringAt(keyOf(entry), changetype<Entry>(entry).keyBytes);
  }

  /** The value of the entry at a cursor. Throws for a cursor that has none. */
  valueAt(cursor: i32): string {
    const entry = this.entryAt(cursor);
    const e = changetype<Entry>(entry);
    return stringAt(keyOf(entry) + e.keyBytes, e.valueBytes);
  }

  private entryAt(cursor: i32): usize {
    const entry = <u32>cursor < this.ordered ? load<u32>(this.order + (<u32>cursor << 2)) : 0;
    if (entry == 0) throw new RangeError("Table: no such cursor");
    return entry;
  }

  private hash(key: string): u32 {
    return <u32>sipHash13(this.k0, this.k1, changetype<usize>(key), <u32>key.length << 1);
  }

  private find(key: string): usize {
    if (this.slotCount == 0) return 0;
    const hash = this.hash(key);
    const bytes = <u32>key.length << 1;
    let i = hash & (this.slotCount - 1);
    while (true) {
      const entry: usize = load<u32>(this.slots + (i << 2));
      if (entry == 0 || isEntry(entry, hash, key, bytes)) return entry;
      i = (i + 1) & (this.slotCount - 1);
    }
  }

  private slotOf(entry: usize): usize {
    let i = changetype<Entry>(entry).hash & (this.slotCount - 1);
    while (load<u32>(this.slots + (i << 2)) != <u32>entry) i = (i + 1) & (this.slotCount - 1);
    return this.slots + (i << 2);
  }

  private freeSlot(hash: u32): usize {
    let i = hash & (this.slotCount - 1);
    while (load<u32>(this.slots + (i << 2)) != 0) i = (i + 1) & (this.slotCount - 1);
    return this.slots + (i << 2);
  }

  /** Frees a slot, and moves entries that were put after it for want of their own. */
  private emptySlot(slot: usize): void {
    const mask = this.slotCount - 1;
    let hole = <u32>(slot - this.slots) >> 2;
    for (let i = (hole + 1) & mask; ; i = (i + 1) & mask) {
      const entry = load<u32>(this.slots + (i << 2));
      if (entry == 0) break;
      const home = changetype<Entry>(<usize>entry).hash & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      store<u32>(this.slots + (hole << 2), entry);
      hole = i;
    }
    store<u32>(this.slots + (hole << 2), 0);
  }

  /** A place and a slot for one more entry: half of the slots stay free. */
  private makeRoom(): bool {
    if (this.ordered < this.slotCount >> 1) return true;
    if (this.slotCount == 0) {
      randomBytes(drawn, 16);
      this.k0 = load<u64>(drawn);
      this.k1 = load<u64>(drawn, 8);
    }
    // Places of deleted entries are reclaimed, too: then the table need not grow.
    let slotCount = max(this.slotCount, SLOTS_FIRST);
    while (this.count >= slotCount >> 2) slotCount <<= 1;
    const slots = ToroAllocMem(slotCount << 2);
    const order = ToroAllocMem(slotCount << 1);
    if (slots == 0 || order == 0) {
      ToroFreeMem(slots);
      ToroFreeMem(order);
      return false;
    }
    const before = this.order;
    const ordered = this.ordered;
    ToroFreeMem(this.slots);
    this.slots = slots;
    this.slotCount = slotCount;
    this.order = order;
    this.ordered = 0;
    for (let i: u32 = 0; i < ordered; i++) {
      const entry = load<u32>(before + (i << 2));
      if (entry == 0) continue;
      const e = changetype<Entry>(<usize>entry);
      e.place = this.ordered++;
      store<u32>(order + (e.place << 2), entry);
      store<u32>(this.freeSlot(e.hash), entry);
    }
    ToroFreeMem(before);
    return true;
  }
}

function keyOf(entry: usize): usize {
  return entry + offsetof<Entry>();
}

function isEntry(entry: usize, hash: u32, key: string, bytes: u32): bool {
  const e = changetype<Entry>(entry);
  if (e.hash != hash || e.keyBytes != bytes) return false;
  return memory.compare(keyOf(entry), changetype<usize>(key), bytes) == 0;
}

function stringAt(at: usize, bytes: u32): string {
  const made = __new(bytes, idof<String>());
  memory.copy(made, at, bytes);
  return changetype<string>(made);
}
