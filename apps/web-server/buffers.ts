// Buffers for pieces of files that are too large for the cache. A response has one while a piece is
// read and sent, for which there is credit; not while it waits for its client.
import { NEVER } from "../../kernel/clock";
import { heapBytes, ToroFreeMem, ToroGetAlignedMem } from "../../kernel/memory";
import { wait, wakeSome } from "../../kernel/scheduler";
import { WaitQueue } from "../../kernel/thread";

/** All of them take at most this fraction of the heap, and each at most that one. */
const HEAP_SHIFT: u64 = 2;
const PIECE_SHIFT: u64 = 10;
const PAGE_BYTES: u32 = 4096;
const PIECE_BYTES_MAX: u32 = 65536;

const waiting = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
let lentBytes: u64 = 0;

/**
 * Bytes of a piece, a power of two: less where memory is small, since the device may hold some
 * dozens of them for clients that take nothing.
 */
export function pieceBytesMax(): u32 {
  let bytes = PAGE_BYTES;
  while (bytes < PIECE_BYTES_MAX && bytes < heapBytes() >> PIECE_SHIFT) bytes <<= 1;
  return bytes;
}

/**
 * A buffer of `bytes`, no more than pieceBytesMax(), which giveBuffer takes back. Waits for its
 * turn while all are lent. Yields. 0: there is no memory even for the first one.
 */
export function takeBuffer(bytes: u32): usize {
  let isNext = false; // was woken, and goes before those that come later
  while (true) {
    if ((isNext || !waiting.first) && lentBytes + bytes <= heapBytes() >> HEAP_SHIFT) {
      const buffer = ToroGetAlignedMem(bytes, PAGE_BYTES);
      if (buffer != 0) {
        lentBytes += bytes;
        return buffer;
      }
      if (lentBytes == 0) return 0;
    }
    wait(waiting, NEVER);
    isNext = true;
  }
}

export function giveBuffer(buffer: usize, bytes: u32): void {
  lentBytes -= bytes;
  ToroFreeMem(buffer);
  wakeSome(waiting, 1);
}
