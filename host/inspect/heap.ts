// The heap of a guest: how much of it is in use, and on demand its blocks, one after the other
// (kernel/memory.ts).

import { type GuestMemory, u32 } from "../memory.ts";
import { readGuestLoad } from "../stats.ts";
import type { GuestReader } from "./guest-reader.ts";
import type { Layout } from "./layout.ts";

const BLOCKS_MAX = 20_000;

export interface HeapView {
  readonly bytes: number;
  readonly inUse: number;
  readonly peak: number;
}

export function readHeap(memory: GuestMemory, peakBytes: number): HeapView {
  const { heapBytes, heapInUse } = readGuestLoad(memory);
  return { bytes: heapBytes, inUse: heapInUse, peak: peakBytes };
}

/** Blocks of the heap in the order of their addresses. */
export interface HeapMap {
  /** Bytes of each block, headers included; negative: it is free. */
  readonly blocks: readonly number[];
  /** The list ends early: there are more, or a header that can be none. */
  readonly isCut: boolean;
}

export function mapHeap(
  reader: GuestReader,
  { block }: Layout,
  start: number,
  end: number,
): HeapMap {
  const blocks: number[] = [];
  let at = start;
  while (at < end && blocks.length < BLOCKS_MAX) {
    const header = at - block.bytes;
    const bytes = reader.u32(header + block.size) + block.bytes;
    const check = u32(reader.u32(header + block.check) ^ at);
    const isFree = check === u32(block.free);
    const isBlock = bytes > block.bytes && bytes <= end - at + block.bytes;
    if (!isBlock || (!isFree && check !== u32(block.used))) break;
    blocks.push(isFree ? -bytes : bytes);
    at += bytes;
  }
  return { blocks, isCut: at < end };
}
