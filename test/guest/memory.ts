import {
  heapAllocations,
  heapBlocks,
  heapBytes,
  heapInUse,
  heapPeak,
  ToroAllocMem,
  ToroFreeMem,
  ToroGetAlignedMem,
  ToroGetMem,
  ToroMemLength,
  ToroReAllocMem,
} from "torito/kernel/memory";
import { HEAP_TAIL_BYTES, TimePage, TIME_PAGE_ADDRESS } from "torito/abi/boot";
import { Errno } from "torito/abi/errno";

let seed: u32 = 12345;
function random(below: u32): u32 {
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % below;
}

export function test_a_block_is_aligned_and_its_length_is_known(): void {
  for (let length: u32 = 0; length < 600; length++) {
    const p = ToroGetMem(length);
    assert(p != 0 && (p & 15) == 0);
    assert(ToroMemLength(p) == length);
    memory.fill(p, 0xff, length);
    assert(ToroFreeMem(p) == 0);
  }
}

export function test_freeing_null_is_an_error_and_nothing_else(): void {
  assert(ToroFreeMem(0) == -Errno.EINVAL);
}

export function test_more_than_there_is_gives_null_and_the_heap_goes_on(): void {
  const before = heapInUse();
  assert(ToroGetMem(0x8000_0000) == 0);
  assert(ToroGetMem(0xffff_ffff) == 0);
  assert(ToroGetMem(<usize>heapBytes() + 1) == 0);
  assert(ToroGetAlignedMem(0xffff_f000, 4096) == 0);
  assert(heapInUse() == before);
  assert(ToroGetMem(64) != 0);
}

export function test_blocks_of_64_bytes_until_memory_is_out_and_back(): void {
  const before = heapInUse();
  let list: usize = 0;
  let count: u32 = 0;
  while (true) {
    const p = ToroGetMem(64);
    if (p == 0) break;
    memory.fill(p, 0x5a, 64);
    store<usize>(p, list);
    list = p;
    count++;
  }
  // 16 bytes of header, 64 of payload, 4 of canary, rounded: 96 of each block's bytes.
  assert(<u64>count * 96 + 4096 > heapBytes() - before);
  while (list != 0) {
    const next = load<usize>(list);
    assert(ToroFreeMem(list) == 0);
    list = next;
  }
  assert(heapInUse() == before);
}

export function test_neighbours_coalesce_whatever_the_order_of_their_frees(): void {
  const before = heapInUse();
  // A request is rounded up to its class, a sixteenth at most: so much fits only if all is one
  // block.
  const largest = <usize>(heapBytes() - before) / 8 * 7;
  const list = ToroGetMem(64 * 4);
  for (let round: u32 = 0; round < 20; round++) {
    for (let i: u32 = 0; i < 64; i++) store<usize>(list + i * 4, ToroGetMem(1 + random(3000)));
    for (let left: u32 = 64; left > 0; left--) {
      const at = list + random(left) * 4;
      ToroFreeMem(load<usize>(at));
      store<usize>(at, load<usize>(list + (left - 1) * 4));
    }
  }
  ToroFreeMem(list);
  const whole = ToroGetMem(largest);
  assert(whole != 0);
  ToroFreeMem(whole);
  assert(heapInUse() == before);
}

export function test_contents_survive_a_random_life(): void {
  const slots: u32 = 200;
  const before = heapInUse();
  const list = ToroAllocMem(slots * 8);
  for (let step: u32 = 0; step < 20000; step++) {
    const at = list + random(slots) * 8;
    const old = load<usize>(at);
    const length = load<u32>(at, 4);
    const byte = <u8>(<u32>at * 31);
    if (old != 0) {
      for (let i: u32 = 0; i < length; i++) assert(load<u8>(old + i) == byte);
    }
    const wanted = random(10) == 0 ? random(70000) : random(500);
    if (old != 0 && random(3) != 0) {
      ToroFreeMem(old);
      store<usize>(at, 0);
      continue;
    }
    const fresh = old != 0
      ? ToroReAllocMem(old, wanted)
      : random(2) == 0 ? ToroGetMem(wanted) : ToroGetAlignedMem(wanted, 4096);
    if (fresh == 0) continue;
    for (let i: u32 = 0; i < min(length, wanted) && old != 0; i++) {
      assert(load<u8>(fresh + i) == byte);
    }
    memory.fill(fresh, byte, wanted);
    store<usize>(at, fresh);
    store<u32>(at, wanted, 4);
  }
  for (let i: u32 = 0; i < slots; i++) ToroFreeMem(load<usize>(list + i * 8));
  ToroFreeMem(list);
  assert(heapInUse() == before);
}

export function test_pages_are_aligned_and_give_everything_back(): void {
  const before = heapInUse();
  for (let alignment: u32 = 1; alignment <= 0x10000; alignment <<= 1) {
    const odd = ToroGetMem(24);
    const p = ToroGetAlignedMem(5000, alignment);
    assert(p != 0 && (p & (alignment - 1)) == 0);
    memory.fill(p, 0xee, 5000);
    ToroFreeMem(odd);
    ToroFreeMem(p);
  }
  assert(ToroGetAlignedMem(10, 48) == 0);
  assert(ToroGetAlignedMem(10, 0x20000) == 0);
  assert(heapInUse() == before);
}

export function test_133124_bytes_cost_133124_bytes(): void {
  const before = heapInUse();
  const p = ToroGetMem(133124);
  assert(heapInUse() - before < 133124 + 64);
  ToroFreeMem(p);
}

export function test_allocated_memory_is_zeroed_even_when_it_was_used(): void {
  const p = ToroGetMem(1000);
  memory.fill(p, 0xff, 1000);
  ToroFreeMem(p);
  const q = ToroAllocMem(1000);
  for (let i: u32 = 0; i < 1000; i++) assert(load<u8>(q + i) == 0);
}

export function test_allocations_are_counted_and_frees_are_not(): void {
  const before = heapAllocations();
  const block = ToroGetMem(100);
  ToroFreeMem(block);
  const page = ToroGetAlignedMem(4096, 4096);
  ToroFreeMem(page);
  assert(ToroGetMem(usize.MAX_VALUE) == 0);
  assert(heapAllocations() - before == 2);
}

export function test_statistics_count_blocks_bytes_and_the_peak(): void {
  const blocks = heapBlocks();
  const bytes = heapInUse();
  const p = ToroGetMem(100000);
  assert(heapBlocks() == blocks + 1);
  assert(heapInUse() >= bytes + 100000);
  ToroFreeMem(p);
  assert(heapBlocks() == blocks);
  assert(heapPeak() >= bytes + 100000);
}

export function test_growing_keeps_the_contents_and_shrinking_the_place(): void {
  const p = ToroGetMem(100);
  memory.fill(p, 7, 100);
  assert(ToroReAllocMem(p, 50) == p);
  assert(ToroMemLength(p) == 50);
  const q = ToroReAllocMem(p, 5000);
  for (let i: u32 = 0; i < 50; i++) assert(load<u8>(q + i) == 7);
  assert(ToroReAllocMem(q, 0x8000_0000) == 0);
  assert(ToroMemLength(q) == 5000);
}

export function test_shrinking_gives_back_what_is_not_needed_and_null_is_an_allocation(): void {
  const before = heapInUse();
  const p = ToroReAllocMem(0, 1_000_000);
  memory.fill(p, 7, 1_000_000);
  assert(ToroReAllocMem(p, 1000) == p);
  assert(heapInUse() - before < 1100);
  assert(ToroReAllocMem(p, 0) == p && ToroMemLength(p) == 0);
  assert(ToroReAllocMem(p, 5000) != 0);
  assert(ToroReAllocMem(0, 0xffff_ffff) == 0);
}

/** On a machine of 4 GiB: addresses in the upper half are as good as those below. */
export function all_of_4_GiB(): void {
  const before = heapInUse();
  assert(heapBytes() > 0xffe0_0000);
  const low = ToroGetMem(0x7f00_0000);
  const high = ToroGetMem(0x7000_0000);
  assert(low != 0 && high > low && high + 0x7000_0000 > 0xe000_0000);
  store<u8>(high + 0x7000_0000 - 1, 1);
  assert(ToroGetMem(0x7000_0000) == 0);
  const page = ToroGetAlignedMem(100_000, 0x10000);
  assert(page > high && (page & 0xffff) == 0);
  const moved = ToroReAllocMem(page, 200_000);
  assert(moved > 0x8000_0000);
  ToroFreeMem(low);
  ToroFreeMem(moved);
  ToroFreeMem(high);
  assert(heapInUse() == before);
  const whole = ToroGetMem(0xe000_0000);
  assert(whole != 0 && ToroFreeMem(whole) == 0);
}

// Each of these must end in a panic; the host knows the words.

export function panics_double_free(): void {
  const p = ToroGetMem(40);
  const wall = ToroGetMem(40);
  ToroFreeMem(p);
  ToroFreeMem(p);
  ToroFreeMem(wall);
}

export function panics_double_free_after_coalescing(): void {
  const first = ToroGetMem(40);
  const second = ToroGetMem(40);
  ToroFreeMem(first);
  ToroFreeMem(second);
  ToroFreeMem(second);
}

export function panics_foreign_pointer(): void {
  ToroFreeMem(ToroGetMem(100) + 16);
}

export function panics_pointer_below_the_heap(): void {
  ToroFreeMem(64);
}

export function panics_overrun(): void {
  const p = ToroGetMem(33);
  store<u8>(p + 33, 0);
  ToroFreeMem(p);
}

function heapTop(): usize {
  return load<u32>(TIME_PAGE_ADDRESS + TimePage.heapTop);
}

/** Is all of the RAM zero from the published top on, but for its last bytes? */
function isUntouchedAbove(top: usize): bool {
  const end = (<usize>memory.size() << 16) - HEAP_TAIL_BYTES;
  for (let at = (top + 7) & ~7; at < end; at += 8) if (load<u64>(at) != 0) return false;
  return true;
}

export function test_nothing_is_written_above_the_top_that_the_host_knows(): void {
  assert(heapTop() > __heap_base && isUntouchedAbove(heapTop()));
  const blocks = memory.data(64 * 4);
  for (let i = 0; i < 4000; i++) {
    const at = blocks + (random(64) << 2);
    const held: usize = load<u32>(at);
    if (held != 0 && random(3) == 0) {
      const moved = ToroReAllocMem(held, random(5000));
      if (moved != 0) store<u32>(at, <u32>moved);
    } else if (held != 0) {
      ToroFreeMem(held);
      store<u32>(at, 0);
    } else {
      const length = random(5000);
      const p = random(2) == 0 ? ToroGetMem(length) : ToroGetAlignedMem(length, 1 << random(13));
      if (p != 0) memory.fill(p, 0xff, length);
      store<u32>(at, <u32>p);
    }
    if (i % 200 == 0) assert(isUntouchedAbove(heapTop()));
  }
  assert(isUntouchedAbove(heapTop()));
  const top = heapTop();
  for (let i = 0; i < 64; i++) {
    const held: usize = load<u32>(blocks + (i << 2));
    if (held != 0) ToroFreeMem(held);
  }
  assert(heapTop() == top);
}
