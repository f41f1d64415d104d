// Files in memory, with the part of their response head that does not change. An entry is used only
// as long as the file system says that the file is the same; its bytes go to the socket as they
// are.
import { heapBytes, ToroFreeMem, ToroGetAlignedMem, ToroGetMem } from "../../kernel/memory";
import { SysCloseFile, SysOpenFile, SysReadFile, SysStatOpenFile } from "../../kernel/fs/calls";
import { FileStat } from "../../kernel/fs/stat";
import { isSame } from "./text";

/** Larger files are streamed. */
export const CACHED_BYTES_MAX: u64 = 262144;
/** The head block of an entry: content type, validators, length. */
const BLOCK_BYTES_MAX: u32 = 512;

@unmanaged
export class Entry {
  nextInBucket: Entry | null;
  newer: Entry | null; // by use
  older: Entry | null;
  path: usize;
  pathBytes: u32;
  content: usize; // a page-aligned buffer of `size` bytes
  block: usize;
  blockBytes: u32;
  users: u32; // responses that are being sent from it
  dropped: bool; // out of the cache: freed by its last user
  ino: u64;
  size: u64;
  mtimeNs: i64;
  ctimeNs: i64;
}

const NONE: Entry = changetype<Entry>(0);
const opened = changetype<FileStat>(memory.data(64));
const BUCKETS: u32 = 1024;
const buckets: usize = memory.data(1024 * 4);
let newest: Entry = NONE;
let oldest: Entry = NONE;
let cachedBytes: u64 = 0;

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

/** The entry of `path` if it still is the file that `stat` describes; null otherwise. */
export function lookUp(path: usize, bytes: u32, stat: FileStat): Entry | null {
  const entry = find(path, bytes);
  if (entry == NONE) return null;
  if (!isOf(entry, stat)) {
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
  cachedBytes -= entry.size;
  entry.dropped = true;
  if (entry.users == 0) free(entry);
}

function free(entry: Entry): void {
  ToroFreeMem(entry.path);
  ToroFreeMem(entry.content);
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

/** A quarter of the heap at most; the least used go first. Entries in use do not count. */
function makeRoom(bytes: u64): void {
  while (oldest != NONE && cachedBytes + bytes > heapBytes() >> 2) drop(oldest);
}

/**
 * Reads the file into a new entry. Yields. Null when memory is out or the file has changed
 * meanwhile; it is streamed then.
 */
export function loadEntry(path: usize, bytes: u32, stat: FileStat): Entry | null {
  makeRoom(stat.size);
  const entry = allocate(path, bytes, stat);
  if (!entry) return null;
  if (!readWhole(entry)) {
    free(entry);
    return null;
  }
  const other = find(path, bytes);
  if (other != NONE) drop(other); // another thread has loaded it meanwhile
  const bucket = bucketOf(path, bytes);
  entry.nextInBucket = changetype<Entry | null>(<usize>load<u32>(bucket));
  store<u32>(bucket, <u32>changetype<usize>(entry));
  linkUse(entry);
  cachedBytes += entry.size;
  return entry;
}

function allocate(path: usize, bytes: u32, stat: FileStat): Entry | null {
  const entry = changetype<Entry>(ToroGetMem(offsetof<Entry>()));
  if (entry == NONE) return null;
  memory.fill(changetype<usize>(entry), 0, offsetof<Entry>());
  entry.path = ToroGetMem(bytes);
  entry.content = ToroGetAlignedMem(<usize>stat.size, 4096);
  entry.block = ToroGetMem(BLOCK_BYTES_MAX);
  if (entry.path == 0 || entry.content == 0 || entry.block == 0) {
    free(entry);
    return null;
  }
  memory.copy(entry.path, path, bytes);
  entry.pathBytes = bytes;
  entry.ino = stat.ino;
  entry.size = stat.size;
  entry.mtimeNs = stat.mtimeNs;
  entry.ctimeNs = stat.ctimeNs;
  return entry;
}

/** Returns false when the file is not what `stat` said any more, or cannot be read. */
function readWhole(entry: Entry): bool {
  const file = SysOpenFile(entry.path, entry.pathBytes, 0);
  if (file < 0) return false;
  let at: u32 = 0;
  let got: i32 = 1;
  while (at < <u32>entry.size && got > 0) {
    got = SysReadFile(file, entry.content + at, <u32>entry.size - at);
    if (got > 0) at += got;
  }
  // The name may have led to another file by the time that it was opened.
  const status = SysStatOpenFile(file, changetype<usize>(opened));
  const same = status == 0 && isOf(entry, opened);
  SysCloseFile(file);
  return same && at == <u32>entry.size;
}
