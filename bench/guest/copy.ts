// The cost of a copy by itself: memory.copy between two buffers of the heap.
import { clock } from "torito/kernel/hypercall";
import { ToroFreeMem, ToroGetAlignedMem } from "torito/kernel/memory";

/** Nanoseconds of `count` copies of `bytes`. */
export function copies(bytes: u32, count: u32): u64 {
  const from = ToroGetAlignedMem(bytes, 4096);
  const to = ToroGetAlignedMem(bytes, 4096);
  assert(from != 0 && to != 0, "copy: no memory");
  memory.fill(from, 7, bytes);
  const started = clock();
  for (let i: u32 = 0; i < count; i++) memory.copy(to, from, bytes);
  const ns = clock() - started;
  ToroFreeMem(from);
  ToroFreeMem(to);
  return ns;
}
