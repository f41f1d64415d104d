// Files in memory, with the part of their response head that does not change. An entry is used only
// as long as the file system says that the file is the same; its bytes go to the socket as they
// are, out of the window that the file system has in shared memory, or out of the heap.
import { nowNs } from "../../kernel/clock";
import { heapBytes, ToroFreeMem, ToroGetAlignedMem, ToroGetMem } from "../../kernel/memory";
import { SysCloseFile, SysOpenFile, SysReadFile, SysStatOpenFile } from "../../kernel/fs/calls";
import { SysMapFile, SysUnmapFile } from "../../kernel/fs/map";
import { believedUntil, FileStat } from "../../kernel/fs/stat";
import { Errno } from "../../drivers/abi/errno";
import { isSame } from "./text";

/** Larger files are not kept in the heap. */
const HEAP_BYTES_MAX: u64 = 262144;
/** Smaller files are not mapped: most of the 64 KiB that they would take were for nothing. */
const MAPPED_BYTES_MIN: u64 = 32768;
/** Larger ones would leave no room for others; they are streamed. */
const MAPPED_BYTES_MAX: u64 = 4194304;
/** The head block of an entry: content type, validators, length. */
const BLOCK_BYTES_MAX: u32 = 512;

@unmanaged
export class Entry {
  nextInBucket: Entry | null;
  newer: Entry | null; // by use
  older: Entry | null;
  path: usize;
  pathBytes: u32;
  content: usize; // `size` bytes at the start of a page
  mapped: bool; // in the window
  block: usize;
  blockBytes: u32;
  users: u32; // responses that are being sent from it
  dropped: bool; // out of the cache: freed by its last user
  heapBytes: u64; // what it takes there, its own account included
  ino: u64;
  size: u64;
  mtimeNs: i64;
  ctimeNs: i64;
  believedUntilNs: u64; // see believedUntil()
}

const NONE: Entry = changetype<Entry>(0);
const opened = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const BUCKETS: u32 = 1024;
const buckets: usize = memory.data(1024 * 4);
let newest: Entry = NONE;
let oldest: Entry = NONE;
let cachedBytes: u64 = 0; // of the heap, by all entries
let hasWindow = true; // until the file system says no

function hash(path: usize, bytes: u32): u32 {
  let h: u32 = 0x811c_9dc5;
  for (let i: u32 = 0; i < bytes; i++) h = (h ^ load<u8>(path + i)) * 0x0100_0193;
  return h ^ (h >> 15);
}

function bucketOf(path: usize, bytes: u32): usize {
  return buckets + ((hash(path, bytes) & (BUCKETS - 1)) << 2);
}

function find(path: usize, bytes: u32): Entry {
  let entry = changetype<Entry>(<usize>load<u32>(bucketOf(path, bytes)));
  while (entry != NONE && !isSame(entry.path, entry.pathBytes, path, bytes)) {
    entry = changetype<Entry>(changetype<usize>(entry.nextInBucket));
  }
  return entry;
}

function unlinkUse(entry: Entry): void {
  const newer = entry.newer;
  const older = entry.older;
  if (newer) newer.older = older;
  else newest = changetype<Entry>(changetype<usize>(older));
  if (older) older.newer = newer;
  else oldest = changetype<Entry>(changetype<usize>(newer));
}

function linkUse(entry: Entry): void {
  entry.newer = null;
  entry.older = newest == NONE ? null : newest;
  if (newest != NONE) newest.newer = entry;
  else oldest = entry;
  newest = entry;
}

function isOf(entry: Entry, stat: FileStat): bool {
  return (
    entry.ino == stat.ino && entry.size == stat.size &&
    entry.mtimeNs == stat.mtimeNs && entry.ctimeNs == stat.ctimeNs
  );
}

/**
 * The entry of `path` if it is known to be the file that `stat` describes still; null otherwise.
 */
export function lookUp(path: usize, bytes: u32, stat: FileStat): Entry | null {
  const entry = find(path, bytes);
  if (entry == NONE) return null;
  if (!isOf(entry, stat) || entry.believedUntilNs <= nowNs()) {
    drop(entry);
    return null;
  }
  if (entry != newest) {
    unlinkUse(entry);
    linkUse(entry);
  }
  return entry;
}

function drop(entry: Entry): void {
  let at = bucketOf(entry.path, entry.pathBytes);
  while (load<u32>(at) != <u32>changetype<usize>(entry)) {
    at = <usize>load<u32>(at) + offsetof<Entry>("nextInBucket");
  }
  store<u32>(at, <u32>changetype<usize>(entry.nextInBucket));
  unlinkUse(entry);
  cachedBytes -= entry.heapBytes;
  entry.dropped = true;
  if (entry.users == 0) free(entry);
}

function free(entry: Entry): void {
  ToroFreeMem(entry.path);
  if (entry.mapped) SysUnmapFile(entry.content);
  else ToroFreeMem(entry.content);
  ToroFreeMem(entry.block);
  ToroFreeMem(changetype<usize>(entry));
}

/** Keeps an entry alive while its bytes are on their way. */
export function use(entry: Entry): void {
  entry.users++;
}

export function unuse(entry: Entry): void {
  entry.users--;
  if (entry.dropped && entry.users == 0) free(entry);
}

/** Is a file of that size worth an entry? */
export function isCached(bytes: u64): bool {
  return bytes <= HEAP_BYTES_MAX || isMapped(bytes);
}

function isMapped(bytes: u64): bool {
  return hasWindow && bytes >= MAPPED_BYTES_MIN && bytes <= MAPPED_BYTES_MAX;
}

/**
 * A quarter of the heap at most; the least used go first. Entries out of the cache do not count. A
 * file has as many entries as clients find names for it, so none is free, whatever its size.
 */
function makeRoom(bytes: u64): void {
  while (oldest != NONE && cachedBytes + bytes > heapBytes() >> 2) drop(oldest);
}

/**
 * Drops the entry in the window that was not used for the longest time and is not in use, for that
 * leaves room. Returns false if there is none.
 */
function dropMapped(): bool {
  let entry = oldest;
  while (entry != NONE && (!entry.mapped || entry.users != 0)) {
    entry = changetype<Entry>(changetype<usize>(entry.newer));
  }
  if (entry == NONE) return false;
  drop(entry);
  return true;
}

/**
 * Maps or reads the file into a new entry. Yields. Null when memory is out or the file has changed
 * meanwhile; it is streamed then.
 */
export function loadEntry(path: usize, bytes: u32, stat: FileStat): Entry | null {
  const entry = allocate(path, bytes, stat);
  if (!entry) return null;
  if (!fill(entry)) {
    free(entry);
    return null;
  }
  const other = find(path, bytes);
  if (other != NONE) drop(other); // another thread has loaded it meanwhile
  makeRoom(entry.heapBytes);
  const bucket = bucketOf(path, bytes);
  entry.nextInBucket = changetype<Entry | null>(<usize>load<u32>(bucket));
  store<u32>(bucket, <u32>changetype<usize>(entry));
  linkUse(entry);
  cachedBytes += entry.heapBytes;
  return entry;
}

function allocate(path: usize, bytes: u32, stat: FileStat): Entry | null {
  const entry = changetype<Entry>(ToroGetMem(offsetof<Entry>()));
  if (entry == NONE) return null;
  memory.fill(changetype<usize>(entry), 0, offsetof<Entry>());
  entry.path = ToroGetMem(bytes);
  entry.block = ToroGetMem(BLOCK_BYTES_MAX);
  if (entry.path == 0 || entry.block == 0) {
    free(entry);
    return null;
  }
  memory.copy(entry.path, path, bytes);
  entry.pathBytes = bytes;
  entry.heapBytes = offsetof<Entry>() + BLOCK_BYTES_MAX + bytes;
  entry.ino = stat.ino;
  entry.size = stat.size;
  entry.mtimeNs = stat.mtimeNs;
  entry.ctimeNs = stat.ctimeNs;
  entry.believedUntilNs = believedUntil(stat.ctimeNs);
  return entry;
}

/** Returns false when the file is not what `stat` said any more, or cannot be had. */
function fill(entry: Entry): bool {
  const file = SysOpenFile(entry.path, entry.pathBytes, 0);
  if (file < 0) return false;
  const filled = (isMapped(entry.size) && mapWhole(entry, file)) || readWhole(entry, file);
  // The name may have led to another file by the time that it was opened.
  const status = SysStatOpenFile(file, changetype<usize>(opened));
  const same = status == 0 && isOf(entry, opened);
  SysCloseFile(file);
  return same && filled;
}

/** Entries that are not in use make room in the window. Returns false if it is not mapped. */
function mapWhole(entry: Entry, file: i32): bool {
  let address: i64 = -Errno.ENOSPC;
  while (address == -Errno.ENOSPC) {
    address = SysMapFile(file, 0, <u32>entry.size, 0);
    if (address == -Errno.ENOSPC && !dropMapped()) break;
  }
  if (address == -Errno.ENODEV) hasWindow = false;
  if (address < 0) return false;
  entry.content = <usize>address;
  entry.mapped = true;
  return true;
}

function readWhole(entry: Entry, file: i32): bool {
  if (entry.size > HEAP_BYTES_MAX) return false;
  entry.heapBytes += entry.size;
  makeRoom(entry.heapBytes);
  entry.content = ToroGetAlignedMem(<usize>entry.size, 4096);
  if (entry.content == 0) return false;
  let at: u32 = 0;
  let got: i32 = 1;
  while (at < <u32>entry.size && got > 0) {
    got = SysReadFile(file, entry.content + at, <u32>entry.size - at);
    if (got > 0) at += got;
  }
  return at == <u32>entry.size;
}
