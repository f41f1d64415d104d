// The kernel's allocator: two-level segregated fit, so that allocating and freeing take constant
// time, with boundary tags, so that neighbours coalesce at once. Blocks never move: devices may
// hold their addresses. Every block has a check word before it and a canary after it.
//
//   block - 16         block                                      block + size
//   ┌──────┬──────┬────────┬───────┬───────────────────┬────────┬──────┐
//   │ prev │ size │ length │ check │ length bytes      │ canary │ ...  │   used
//   ├──────┼──────┼────────┼───────┼──────┬──────┬─────┴────────┴──────┤
//   │ prev │ size │      0 │ check │ next │ last │ in the free list    │   free
//   └──────┴──────┴────────┴───────┴──────┴──────┴─────────────────────┘
import { Errno } from "../abi/errno";
import { publishHeapTop } from "./clock";

@unmanaged
export class Block {
  prev: usize; // the block before this one in memory, 0 for the first
  size: u32; // bytes from here to the next header, a multiple of GRAIN
  length: u32; // bytes asked for
  check: u32; // USED or FREE, mixed with the address
  nextFree: usize; // from here on the user's bytes
  lastFree: usize;
}

const GRAIN: u32 = 16;
export const HEADER: u32 = 16;
const CANARY_BYTES: u32 = 4;
export const USED: u32 = 0x55c3_a5ed;
export const FREE: u32 = 0xf1ee_b10c;
const CANARY: u32 = 0xca9a_511e;

// Classes: below 256 bytes one per 16 bytes, above it 16 per power of two.
const SMALL: u32 = 256;
const ROWS: u32 = 25;
const COLUMNS: u32 = 16;
let rowMap: u32 = 0; // bit r: some column of row r has a block
const columnMap: usize = memory.data(25 * 4); // u32 per row: bit c: class (r, c) has a block
const classHead: usize = memory.data(25 * 16 * 4);

export let heapStart: usize = 0;
export let heapEnd: usize = 0;
let inUseBytes: u64 = 0; // headers and rounding included
export let peakBytes: u64 = 0;
let inUseBlocks: u32 = 0;
let allocatedBlocks: u64 = 0; // since boot
let topBlock: usize = 0; // the end of the highest block that was ever handed out

/** Blocks are known by the address of their payload; this is the header before it. */
function header(address: usize): Block {
  return changetype<Block>(address - HEADER);
}

/** Takes [start, end) as the heap. Called once. */
export function memoryInit(start: usize, end: usize): void {
  heapStart = (start + HEADER + (GRAIN - 1)) & ~(GRAIN - 1);
  heapEnd = end & ~(GRAIN - 1);
  // A used block of no size ends the heap, so that the last block has a neighbour.
  const first = header(heapStart);
  first.prev = 0;
  first.size = <u32>(heapEnd - heapStart) - HEADER;
  const last = header(heapEnd);
  last.prev = heapStart;
  last.size = 0;
  last.check = USED ^ <u32>heapEnd;
  insertFree(heapStart);
  raiseTop(heapStart);
}

/** A block that ends at `end` is handed out. The header of the free block after it is written. */
function raiseTop(end: usize): void {
  if (end <= topBlock) return;
  topBlock = end;
  publishHeapTop(min(end + HEADER + GRAIN, heapEnd));
}

function rowOf(size: u32): u32 {
  return size < SMALL ? 0 : 24 - clz(size);
}

function columnOf(size: u32): u32 {
  return size < SMALL ? size >> 4 : (size >> (27 - clz(size))) & 15;
}

function classAddress(row: u32, column: u32): usize {
  return classHead + ((row * COLUMNS + column) << 2);
}

function insertFree(block: usize): void {
  const b = header(block);
  b.check = FREE ^ <u32>block;
  b.length = 0;
  const row = rowOf(b.size);
  const column = columnOf(b.size);
  const head = classAddress(row, column);
  const next: usize = load<u32>(head);
  b.nextFree = next;
  b.lastFree = 0;
  if (next != 0) header(next).lastFree = block;
  store<u32>(head, <u32>block);
  store<u32>(columnMap + (row << 2), load<u32>(columnMap + (row << 2)) | (1 << column));
  rowMap |= 1 << row;
}

function removeFree(block: usize): void {
  const b = header(block);
  if (b.nextFree != 0) header(b.nextFree).lastFree = b.lastFree;
  if (b.lastFree != 0) {
    header(b.lastFree).nextFree = b.nextFree;
    return;
  }
  const row = rowOf(b.size);
  const column = columnOf(b.size);
  store<u32>(classAddress(row, column), <u32>b.nextFree);
  if (b.nextFree != 0) return;
  const columns = load<u32>(columnMap + (row << 2)) & ~(1 << column);
  store<u32>(columnMap + (row << 2), columns);
  if (columns == 0) rowMap &= ~(1 << row);
}

/** A free block of at least `size` bytes, taken out of its list; 0 when there is none. */
function takeFree(size: u32): usize {
  // Round up to the next class: every block of that class fits, so the first one will do.
  const rounded = size < SMALL ? size : size + (1 << (27 - clz(size))) - 1;
  if (rounded < size) return 0;
  const row = rowOf(rounded);
  let columns = load<u32>(columnMap + (row << 2)) & (~0 << columnOf(rounded));
  let from = row;
  if (columns == 0) {
    const rows = row + 1 >= ROWS ? 0 : rowMap & (~0 << (row + 1));
    if (rows == 0) return 0;
    from = ctz(rows);
    columns = load<u32>(columnMap + (from << 2));
  }
  const block: usize = load<u32>(classAddress(from, ctz(columns)));
  removeFree(block);
  header(block).check = USED ^ <u32>block; // no neighbour may coalesce with it from here on
  return block;
}

/** Cuts `block` (in no list) to `size` bytes. A rest that is large enough becomes a free block. */
function trim(block: usize, size: u32): void {
  const b = header(block);
  const rest = b.size - size;
  if (rest < HEADER + GRAIN) return;
  const tail = block + size + HEADER;
  b.size = size;
  const t = header(tail);
  t.prev = block;
  t.size = rest - HEADER;
  const after = header(tail + t.size + HEADER);
  after.prev = tail;
  release(tail);
}

function isFree(block: usize): bool {
  return header(block).check == (FREE ^ <u32>block);
}

/** Puts `block` into the free lists, together with free neighbours. */
function release(block: usize): void {
  const b = header(block);
  const next = block + b.size + HEADER;
  if (isFree(next)) {
    removeFree(next);
    b.size += header(next).size + HEADER;
    header(next).check = 0;
    header(block + b.size + HEADER).prev = block;
  }
  const prev = b.prev;
  if (prev != 0 && isFree(prev)) {
    removeFree(prev);
    header(prev).size += b.size + HEADER;
    b.check = FREE ^ <u32>block; // so that a second free of this address is reported as such
    header(prev + header(prev).size + HEADER).prev = prev;
    block = prev;
  }
  insertFree(block);
}

/** Marks `block` as used by `length` bytes, with its canary. */
function own(block: usize, length: u32): void {
  const b = header(block);
  b.length = length;
  b.check = USED ^ <u32>block;
  store<u32>(block + length, CANARY ^ <u32>block);
  inUseBlocks++;
  allocatedBlocks++;
  inUseBytes += b.size + HEADER;
  if (inUseBytes > peakBytes) peakBytes = inUseBytes;
  raiseTop(block + b.size);
}

function roundedSize(length: usize): u32 {
  return (<u32>length + CANARY_BYTES + (GRAIN - 1)) & ~(GRAIN - 1);
}

const LENGTH_MAX: usize = 0xf000_0000;

/** Returns `length` bytes, 16-byte aligned, contents undefined; 0 when memory is out. */
export function ToroGetMem(length: usize): usize {
  if (length > LENGTH_MAX) return 0;
  const size = roundedSize(length);
  const block = takeFree(size);
  if (block == 0) return 0;
  trim(block, size);
  own(block, <u32>length);
  return block;
}

/** ToroGetMem, zeroed. */
export function ToroAllocMem(length: usize): usize {
  const block = ToroGetMem(length);
  if (block != 0) memory.fill(block, 0, length);
  return block;
}

/**
 * Returns `length` bytes at a multiple of `alignment`, a power of two up to 64 KiB: a page-aligned
 * buffer for a device. Contents undefined; 0 when memory is out. ToroFreeMem takes it back.
 */
export function ToroGetAlignedMem(length: usize, alignment: u32): usize {
  if (alignment <= GRAIN) return ToroGetMem(length);
  if (length > LENGTH_MAX || alignment > 0x10000 || (alignment & (alignment - 1)) != 0) return 0;
  const size = roundedSize(length);
  const block = takeFree(size + alignment + HEADER + GRAIN);
  if (block == 0) return 0;
  let aligned = (block + (alignment - 1)) & ~(<usize>alignment - 1);
  if (aligned != block) {
    // The gap becomes a free block of its own, so it must be able to be one.
    if (aligned - block < HEADER + GRAIN) aligned += alignment;
    const gap = <u32>(aligned - block);
    const b = header(block);
    const a = header(aligned);
    a.prev = block;
    a.size = b.size - gap;
    a.check = USED ^ <u32>aligned; // before the gap is released, which looks at its neighbours
    header(aligned + a.size + HEADER).prev = aligned;
    b.size = gap - HEADER;
    release(block);
  }
  trim(aligned, size);
  own(aligned, <u32>length);
  return aligned;
}

/** Panics unless `address` is the start of a used block with its canary whole. */
function validate(address: usize): Block {
  assert(
    (address & (GRAIN - 1)) == 0 && address >= heapStart && address < heapEnd,
    "memory: foreign pointer",
  );
  const b = header(address);
  assert(b.check != (FREE ^ <u32>address), "memory: double free");
  assert(b.check == (USED ^ <u32>address), "memory: foreign pointer, or the block before overran");
  assert(load<u32>(address + b.length) == (CANARY ^ <u32>address), "memory: overrun");
  return b;
}

/**
 * Frees a block. Returns 0, or -EINVAL for a null pointer. A double free, a foreign pointer or an
 * overrun is a bug of the caller and panics.
 */
export function ToroFreeMem(address: usize): i32 {
  if (address == 0) return -Errno.EINVAL;
  const b = validate(address);
  inUseBlocks--;
  inUseBytes -= b.size + HEADER;
  release(address);
  return 0;
}

/**
 * Changes the length of a block, moving it only to grow; the bytes that both lengths share stay.
 * Returns the new address; 0 when memory is out, and the old block is then as it was.
 */
export function ToroReAllocMem(address: usize, length: usize): usize {
  if (address == 0) return ToroGetMem(length);
  const b = validate(address);
  if (length <= LENGTH_MAX && roundedSize(length) <= b.size) {
    inUseBytes -= b.size;
    trim(address, roundedSize(length));
    inUseBytes += b.size;
    b.length = <u32>length;
    store<u32>(address + length, CANARY ^ <u32>address);
    return address;
  }
  const moved = ToroGetMem(length);
  if (moved == 0) return 0;
  memory.copy(moved, address, min<usize>(b.length, length));
  ToroFreeMem(address);
  return moved;
}

/** The length that the block at `address` was allocated with. */
export function ToroMemLength(address: usize): u32 {
  return validate(address).length;
}

/** Bytes that the block at `address` takes from the heap, with header, canary and rounding. */
export function allocatedBytes(address: usize): u32 {
  return validate(address).size + HEADER;
}

/** Bytes in use, with headers, canaries and rounding. */
export function heapInUse(): u64 {
  return inUseBytes;
}

export function heapPeak(): u64 {
  return peakBytes;
}

export function heapBlocks(): u32 {
  return inUseBlocks;
}

/** Blocks that were handed out since boot. */
export function heapAllocations(): u64 {
  return allocatedBlocks;
}

/** Is the address after the heap, as shared memory of devices is? */
export function isBehindHeap(address: u64): bool {
  return address >= heapEnd;
}

export function heapBytes(): u64 {
  return <u64>(heapEnd - heapStart);
}
