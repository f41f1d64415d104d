// Bytes of requests that have come before their connection can go on: a head whose end is not there
// yet, or requests behind a response that waits for its client. They take no more than they are.
import { heapBytes, ToroFreeMem, ToroGetMem } from "../../kernel/api";
import { shrinkCache } from "./cache";
import { inputOf, Work } from "./work";

@unmanaged
export class Parked {
  bytes: u32; // that follow
}

/** All of them take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 4;
let parkedBytes: u64 = 0;

/** Copies the bytes at the start of the input; null: no room. unpark() or drop() take them back. */
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
