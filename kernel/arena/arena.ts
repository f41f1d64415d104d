// Memory for an application's objects: strings, arrays, maps, everything that asc allocates by
// itself. Each thread has an arena, a pointer that moves through chunks of the heap. Nothing in it
// is freed alone: a scope's end frees what was allocated since it began, the thread's end frees the
// rest. No collector runs, nothing moves, and so a reference may live across a switch as any number
// does.
//
// Global variables are initialised before the kernel has booted. What they allocate lies between
// the image and the heap, and stays.
import { BOOT_INFO_ADDRESS, BootInfo } from "../../abi/boot";
import { allocatedBytes, ToroFreeMem, ToroGetMem } from "../memory";
import { CHECKED, checkEscapes, holdBack, poisonRest } from "./check";
import { Chunk, chunkStart, holdsMark, NO_CHUNK } from "./chunk";

@unmanaged
export class Arena {
  top: usize; // where the next object's header goes
  limit: usize;
  newest: Chunk;
  bytes: u32; // that its chunks take from the heap
}

/**
 * asc's header has 20 bytes; all that its code reads are the class (at -8) and the size (at -4).
 * Checks keep a word at -12.
 */
const HEADER: usize = CHECKED ? 16 : 8;
/** With the heap's own header and canary: a page. */
const CHUNK_BYTES: usize = 4096 - 32;
const OBJECT_BYTES_MAX: usize = 1 << 28;

/** Outside of threads: it has no room, so that each allocation takes the slow path. */
const OUTSIDE = changetype<Arena>(memory.data(offsetof<Arena>()));
let current: Arena = OUTSIDE;
let bytesMax: u32 = 0; // by arenaSettingsInit()
let heapIsReady: bool = false;
let initialised: usize = 0; // end of what initialisers have allocated
let failure: string = "";

/** From here on objects come from `arena`; null when no thread runs. */
export function useArena(arena: Arena | null): void {
  current = arena ? arena : OUTSIDE;
}

/** Bytes of the heap that one thread's objects may take. */
export function setArenaLimit(bytes: u32): void {
  bytesMax = bytes;
}

/** Where the heap may begin: after what initialisers have allocated. No more of them will run. */
export function arenaInit(): usize {
  heapIsReady = true;
  OUTSIDE.top = OUTSIDE.limit = 0;
  return max(__heap_base, initialised);
}

/** asc's __new: an object of `size` bytes and class `id`. 0: arenaFailure() says why not. */
export function arenaNew(size: usize, id: u32): usize {
  const arena = current;
  const header = arena.top;
  const end = header + ((size + (HEADER + 7)) & ~7);
  if (end > arena.limit || size > OBJECT_BYTES_MAX) return newInChunk(arena, size, id);
  arena.top = end;
  const object = header + HEADER;
  store<u32>(object - 8, id);
  store<u32>(object - 4, <u32>size);
  if (CHECKED) store<u32>(object - 12, 0);
  return object;
}

/** Why the last allocation failed. */
export function arenaFailure(): string {
  return failure;
}

function newInChunk(arena: Arena, size: usize, id: u32): usize {
  if (size > OBJECT_BYTES_MAX) {
    return fail("arena: an object of more than 256 MiB (is it one of a scope that has ended?)");
  }
  const bytes = max(CHUNK_BYTES, (size + (HEADER + offsetof<Chunk>() + 7)) & ~7);
  if (arena == OUTSIDE) {
    if (heapIsReady) return fail("arena: allocation outside a thread");
    if (!addChunk(arena, takeBeforeBoot(bytes), bytes)) return fail("arena: out of memory");
    return arenaNew(size, id);
  }
  if (arena.bytes + <u32>bytes > bytesMax) return fail("arena: the thread's limit is reached");
  const chunk = ToroGetMem(bytes);
  if (!addChunk(arena, chunk, bytes)) return fail("arena: out of memory");
  arena.bytes += allocatedBytes(chunk);
  return arenaNew(size, id);
}

function fail(reason: string): usize {
  failure = reason;
  return 0;
}

function addChunk(arena: Arena, address: usize, bytes: usize): bool {
  if (address == 0) return false;
  const chunk = changetype<Chunk>(address);
  chunk.previous = arena.newest;
  chunk.limit = address + bytes;
  arena.newest = chunk;
  arena.top = chunkStart(chunk);
  arena.limit = chunk.limit;
  return true;
}

/** The host has written the boot information before the image's initialisers run. */
function takeBeforeBoot(bytes: usize): usize {
  const ram: u64 = <u64>load<u32>(BOOT_INFO_ADDRESS + BootInfo.memoryPages) << 16;
  const address = initialised == 0 ? (__heap_base + 15) & ~15 : initialised;
  if (<u64>address + bytes > ram) return 0;
  initialised = address + bytes;
  return address;
}

/** asc's __renew: the newest object grows in place, others are copied. 0: as arenaNew. */
export function arenaRenew(old: usize, size: usize): usize {
  const arena = current;
  const oldSize: usize = load<u32>(old - 4);
  const end = old + ((size + 7) & ~7);
  const isNewest = old + ((oldSize + 7) & ~7) == arena.top;
  if (isNewest && end <= arena.limit && size <= OBJECT_BYTES_MAX) {
    arena.top = end;
    store<u32>(old - 4, <u32>size);
    return old;
  }
  const moved = arenaNew(size, load<u32>(old - 8));
  if (moved != 0) memory.copy(moved, old, min(oldSize, size));
  return moved;
}

/** Begins a scope of the running thread: arenaRelease() takes the result. Does not yield. */
export function arenaMark(): usize {
  return current.top;
}

/**
 * Ends a scope: frees all that the running thread has allocated since `mark`. No reference to it
 * may be used any more; images that are not optimised panic if a global variable holds one. Does
 * not yield.
 */
export function arenaRelease(mark: usize): void {
  release(current, mark);
}

/** Bytes of the heap that the running thread's objects take. */
export function arenaBytes(): u32 {
  return current.bytes;
}

/** Frees all of the arena: its thread has ended, or starts again. */
export function arenaDrop(arena: Arena): void {
  if (arena.newest != NO_CHUNK) release(arena, 0);
}

function release(arena: Arena, mark: usize): void {
  if (CHECKED) checkEscapes(arena.newest, mark);
  let chunk = arena.newest;
  while (chunk != NO_CHUNK && !holdsMark(chunk, mark)) {
    const previous = chunk.previous;
    arena.bytes -= allocatedBytes(changetype<usize>(chunk));
    if (CHECKED) holdBack(chunk);
    else ToroFreeMem(changetype<usize>(chunk));
    chunk = previous;
  }
  arena.newest = chunk;
  if (chunk == NO_CHUNK) {
    arena.top = arena.limit = 0;
    return;
  }
  arena.limit = chunk.limit;
  if (CHECKED) poisonRest(chunk, mark);
  arena.top = CHECKED ? chunk.limit : mark; // what is poisoned stays poisoned
}
