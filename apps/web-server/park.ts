// Received bytes of a connection that waits: an unfinished head, or requests after a response that
// waits for its client. They are kept in blocks of just their size.
import { heapBytes, ToroFreeMem, ToroGetMem } from "torito/kernel/api";
import { shrinkCache } from "./cache";
import { inputOf, Work } from "./work";

@unmanaged
export class Parked {
  bytes: u32; // that follow
}

/** All of them take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 4;
let parkedBytes: u64 = 0;

/** Copies the input; null: no room. unpark() or dropParked() free it. */
export function park(work: Work): Parked | null {
  const bytes = offsetof<Parked>() + work.used;
  if (parkedBytes + bytes > heapBytes() >> HEAP_SHIFT) return null;
  let parked = changetype<Parked>(ToroGetMem(bytes));
  while (changetype<usize>(parked) == 0 && shrinkCache()) {
    parked = changetype<Parked>(ToroGetMem(bytes));
  }
  if (changetype<usize>(parked) == 0) return null;
  parkedBytes += bytes;
  parked.bytes = work.used;
  memory.copy(changetype<usize>(parked) + offsetof<Parked>(), inputOf(work), work.used);
  return parked;
}

/** Moves the bytes to the input of `work`, which is empty. */
export function unpark(parked: Parked, work: Work): void {
  work.used = parked.bytes;
  memory.copy(inputOf(work), changetype<usize>(parked) + offsetof<Parked>(), parked.bytes);
  dropParked(parked);
}

export function dropParked(parked: Parked): void {
  parkedBytes -= offsetof<Parked>() + parked.bytes;
  ToroFreeMem(changetype<usize>(parked));
}
