// Large responses are sent in pieces, and only some of them at a time, in turn. That leaves room in
// the device's ring for short ones, and bounds the memory for pieces.
import { heapBytes, NEVER, wait, WaitQueue, wakeSome } from "torito/kernel/api";

/**
 * More than the device holds back for clients that take nothing (a quarter of its ring, 64), and
 * less than the ring has room for.
 */
const TURNS: u32 = 128;
/** All turns together take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 2;
const PIECE_BYTES_MIN: u32 = 4096;
const PIECE_BYTES_MAX: u32 = 65536;

const waiting = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
let taken: u32 = 0;

/** The most bytes of memory that a piece may take: a power of two, less where memory is small. */
export function pieceBytesMax(): u32 {
  const most = min<u64>((heapBytes() >> HEAP_SHIFT) / TURNS, PIECE_BYTES_MAX);
  let bytes = PIECE_BYTES_MIN;
  while (bytes << 1 <= most) bytes <<= 1;
  return bytes;
}

/** Waits for the caller's turn, until giveTurn(). Yields. */
export function takeTurn(): void {
  let first = true; // threads that wait already go first
  while (taken == TURNS || (first && waiting.first != null)) {
    wait(waiting, NEVER);
    first = false;
  }
  taken++;
}

export function giveTurn(): void {
  taken--;
  wakeSome(waiting, 1);
}
