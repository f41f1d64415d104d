// Strings that outlive the request that brought them: copies in blocks of the kernel's heap.
import {
  allocatedBytes,
  Errno,
  ToroFreeMem,
  ToroGetMem,
  ToroReAllocMem,
} from "../kernel/api";

/** A copy of the string, or 0. */
function keep(value: string): usize {
  const bytes = <usize>value.length << 1;
  const block = ToroGetMem(bytes + 4);
  if (block == 0) return 0;
  store<u32>(block, <u32>bytes);
  memory.copy(block + 4, changetype<usize>(value), bytes);
  return block;
}

/** A string of the arena with the characters of a copy. */
function recall(block: usize): string {
  const bytes = load<u32>(block);
  const made = __new(bytes, idof<String>());
  memory.copy(made, block + 4, bytes);
  return changetype<string>(made);
}

/** A list of strings. It copies what it is given, and returns copies. */
@final
export class KeptStrings {
  private blocks: usize = 0; // u32 each
  private capacity: i32 = 0;
  private count: i32 = 0;
  private takenBytes: u64 = 0;

  /** Of at most `stringsMax` strings, which together take at most `bytesMax` bytes of the heap. */
  constructor(
    private stringsMax: i32 = 65536,
    private bytesMax: u64 = 16 << 20,
  ) {}

  /** Strings in the list. */
  get length(): i32 {
    return this.count;
  }

  /** Adds a string. Returns its place, -ENOSPC at one of the bounds, or -ENOMEM. */
  push(value: string): i32 {
    if (this.count == this.stringsMax) return -Errno.ENOSPC;
    if (this.count == this.capacity && !this.grow()) return -Errno.ENOMEM;
    const error = this.put(this.count, value, 0);
    return error < 0 ? error : this.count++;
  }

  /** The string at `i`, which must be less than length. */
  at(i: i32): string {
    return recall(this.blockAt(i));
  }

  /** Replaces the string at `i`. Returns 0, -ENOSPC or -ENOMEM, and then it is as it was. */
  set(i: i32, value: string): i32 {
    return this.put(i, value, this.blockAt(i));
  }

  /** Removes the string at `i`; those after it move up. */
  remove(i: i32): void {
    const block = this.blockAt(i);
    const place = this.blocks + (i << 2);
    memory.copy(place, place + 4, (this.count - i - 1) << 2);
    this.count--;
    this.takenBytes -= allocatedBytes(block);
    ToroFreeMem(block);
  }

  /** Removes all strings. */
  clear(): void {
    while (this.count != 0) this.remove(this.count - 1);
  }

  /** A copy takes the place of the block `old`, unless that is 0. Returns 0 or an error. */
  private put(i: i32, value: string, old: usize): i32 {
    const block = keep(value);
    if (block == 0) return -Errno.ENOMEM;
    const freed: u64 = old == 0 ? 0 : allocatedBytes(old);
    const taken = this.takenBytes - freed + allocatedBytes(block);
    if (taken > this.bytesMax) {
      ToroFreeMem(block);
      return -Errno.ENOSPC;
    }
    this.takenBytes = taken;
    store<u32>(this.blocks + (i << 2), <u32>block);
    if (old != 0) ToroFreeMem(old);
    return 0;
  }

  private blockAt(i: i32): usize {
    if (<u32>i >= <u32>this.count) throw new RangeError("KeptStrings: index out of range");
    return load<u32>(this.blocks + (i << 2));
  }

  private grow(): bool {
    const capacity = this.capacity == 0 ? 16 : this.capacity << 1;
    const blocks = ToroReAllocMem(this.blocks, <usize>capacity << 2);
    if (blocks == 0) return false;
    this.blocks = blocks;
    this.capacity = capacity;
    return true;
  }
}
