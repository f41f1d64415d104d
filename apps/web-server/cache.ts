// The cache of files. An entry is found by inode and content type, under any name of the file, and
// is used only as long as the file system says that the file has not changed. Its bytes are sent
// from the window that the file system has in shared memory, or from the heap; a file for which
// there is no room is read piece by piece.
import {
  allocatedBytes,
  CounterKind,
  Errno,
  FileStat,
  heapBytes,
  SysCloseFile,
  SysCounter,
  SysMapFile,
  SysReadFileAt,
  SysStatOpenFile,
  SysUnmapFile,
  text,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";
import { putBytes } from "torito/guest/http/text";
import { isSameFile, isVersion, setVersion } from "torito/guest/http/version";
import { nameOf } from "./coding";
import { Entry, ENTRY_BYTES, FileKey, NO_ENTRY } from "./entry";
import { FILE_HEADERS_BYTES_MAX, putFileHeaders } from "./file-headers";
import { openPatiently } from "./patience";
import { Site } from "./rules/site";

/** Larger files are not kept in the heap. */
const HEAP_BYTES_MAX: u64 = 262144;
/** Smaller files are not mapped: most of the 64 KiB that they would take would be wasted. */
const MAPPED_BYTES_MIN: u64 = 32768;
/** Larger ones would leave no room for others. */
const MAPPED_BYTES_MAX: u64 = 4194304;
/** All entries take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 2;

const opened = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const BUCKETS: u32 = 4096;
const buckets: usize = memory.data(4096 * 4);
let newest: Entry = NO_ENTRY;
let oldest: Entry = NO_ENTRY;
let takenBytes: u64 = 0; // of the heap, by all entries, also by dropped ones in use
let hasWindow = true; // until a mapping fails for want of one

// Counters of it that the machine's owner sees.
let hits: usize = 0;
let misses: usize = 0;
let evictions: usize = 0;
let shownEntries: usize = 0;
let shownBytes: usize = 0;

/** Before the first request. */
export function cacheInit(): void {
  const requests = text("Files that were asked for: found in the cache, or not.");
  hits = SysCounter(CounterKind.Counter, text('cache_requests_total{result="hit"}'), requests);
  misses = SysCounter(CounterKind.Counter, text('cache_requests_total{result="miss"}'), requests);
  const dropped = text("Entries that gave way to others, or to clients.");
  evictions = SysCounter(CounterKind.Counter, text("cache_evictions_total"), dropped);
  const listed = text("Files in the cache.");
  shownEntries = SysCounter(CounterKind.Gauge, text("cache_entries"), listed);
  const taken = text("Memory of the heap that cached files take; mapped ones take none.");
  shownBytes = SysCounter(CounterKind.Gauge, text("cache_bytes"), taken);
}

function add(counter: usize): void {
  store<u64>(counter, load<u64>(counter) + 1);
}

function take(bytes: i64): void {
  takenBytes += bytes;
  store<u64>(shownBytes, takenBytes);
}

function bucketOf(ino: u64, key: FileKey): usize {
  let h = <u32>(ino ^ (ino >> 32)) * 0x9e37_79b1 + <u32>(key ^ (key >> 32)) * 0x85eb_ca6b;
  h ^= h >> 15;
  return buckets + ((h & (BUCKETS - 1)) << 2);
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
  entry.older = newest == NO_ENTRY ? null : newest;
  if (newest != NO_ENTRY) newest.newer = entry;
  else oldest = entry;
  newest = entry;
}

/**
 * The entry of the file with the attributes `stat`, if its content is known to be unchanged. The
 * caller releases it. Null otherwise.
 */
function lookUp(stat: FileStat, key: FileKey): Entry | null {
  let entry = changetype<Entry>(<usize>load<u32>(bucketOf(stat.ino, key)));
  while (entry != NO_ENTRY && (entry.key != key || entry.version.stat.ino != stat.ino)) {
    entry = changetype<Entry>(changetype<usize>(entry.nextInBucket));
  }
  if (entry == NO_ENTRY) return null;
  if (!isVersion(entry.version, stat)) {
    drop(entry);
    return null;
  }
  if (entry != newest) {
    unlinkUse(entry);
    linkUse(entry);
  }
  entry.users++;
  return entry;
}

/** Removes an entry from the cache. It stays valid for its users. */
function drop(entry: Entry): void {
  let at = bucketOf(entry.version.stat.ino, entry.key);
  while (load<u32>(at) != <u32>changetype<usize>(entry)) {
    at = <usize>load<u32>(at) + offsetof<Entry>("nextInBucket");
  }
  store<u32>(at, <u32>changetype<usize>(entry.nextInBucket));
  unlinkUse(entry);
  entry.listed = false;
  store<u64>(shownEntries, load<u64>(shownEntries) - 1);
  if (entry.users == 0) free(entry);
}

/** Frees an entry without users, and so without an open file. */
function free(entry: Entry): void {
  take(-<i64>entry.heapBytes);
  if (entry.mapped) SysUnmapFile(entry.content);
  else if (entry.content != 0) ToroFreeMem(entry.content);
  if (entry.headers != 0) ToroFreeMem(entry.headers);
  ToroFreeMem(changetype<usize>(entry));
}

/** Ends a use of the entry. Yields when the last user had read from the file. */
export function release(entry: Entry): void {
  if (--entry.users != 0) return;
  const file = entry.file;
  if (file != 0) {
    if (entry.listed) drop(entry);
    else free(entry);
    SysCloseFile(file);
  } else if (!entry.listed) {
    free(entry);
  }
}

/**
 * Frees the least recently used entry that is not in use; if `mapped`, one in the window. Returns
 * false if there is none.
 */
function evict(mapped: bool): bool {
  let entry = oldest;
  while (entry != NO_ENTRY && (entry.users != 0 || (mapped && !entry.mapped))) {
    entry = changetype<Entry>(changetype<usize>(entry.newer));
  }
  if (entry == NO_ENTRY) return false;
  add(evictions);
  drop(entry);
  return true;
}

/** Frees one entry that is kept for later requests. Returns false if there is none. */
export function shrinkCache(): bool {
  return evict(false);
}

/** Allocates `bytes` for an entry; 0: entries in use leave no room. */
function allocate(bytes: usize): usize {
  while (takenBytes + bytes > heapBytes() >> HEAP_SHIFT) if (!evict(false)) return 0;
  let address = ToroGetMem(bytes);
  while (address == 0 && evict(false)) address = ToroGetMem(bytes);
  return address;
}

/**
 * lookUp(), without entries whose open file was lost with the file system; a slow response may
 * still use such an entry. Yields if the entry reads from an open file.
 */
export function findEntry(stat: FileStat, key: FileKey): Entry | null {
  const entry = lookUp(stat, key);
  add(entry ? hits : misses);
  if (!entry || entry.file == 0) return entry;
  if (SysStatOpenFile(entry.file, changetype<usize>(opened)) == 0) return entry;
  if (entry.listed) drop(entry);
  release(entry);
  return null;
}

let error: i32 = 0;

/** Why loadFile() returned null: a negative error. */
export function loadError(): i32 {
  return error;
}

/**
 * Opens the file, and maps or reads it if that pays and there is room. Yields. The caller releases
 * the entry. It describes the opened file: the name may refer to another one by now. Null: see
 * loadError().
 */
export function loadFile(path: usize, pathBytes: u32, key: FileKey): Entry | null {
  const file = openPatiently(path, pathBytes, 0);
  error = file < 0 ? file : SysStatOpenFile(file, changetype<usize>(opened));
  const entry = error == 0 ? create(file, key) : null;
  if (!entry) {
    const why = error;
    if (file >= 0) SysCloseFile(file);
    error = why;
    return null;
  }
  if (fill(entry)) {
    entry.file = 0;
    enlist(entry);
    SysCloseFile(file);
  } else {
    enlist(entry);
  }
  return entry;
}

/** An entry for an open file with the attributes in `opened`; null: no memory. */
function create(file: i32, key: FileKey): Entry | null {
  const entry = blank();
  if (entry == NO_ENTRY) {
    error = -Errno.ENOMEM;
    return null;
  }
  setVersion(entry.version, opened);
  entry.key = key;
  entry.file = file;
  const coding = entry.coding;
  entry.version.coding = coding == 0 ? 0 : nameOf(coding);
  return entry;
}

/** An entry with one user that cannot be found; NO_ENTRY: no memory. */
function blank(): Entry {
  let address = ToroGetMem(ENTRY_BYTES);
  while (address == 0 && evict(false)) address = ToroGetMem(ENTRY_BYTES);
  if (address == 0) return NO_ENTRY;
  memory.fill(address, 0, ENTRY_BYTES);
  const entry = changetype<Entry>(address);
  entry.users = 1;
  charge(entry, address);
  return entry;
}

/** An entry for one answer with room for `bytes` bytes of content; NO_ENTRY: no memory. */
export function createPage(bytes: u32): Entry {
  const entry = blank();
  if (entry == NO_ENTRY) return NO_ENTRY;
  entry.content = allocate(bytes);
  if (entry.content == 0) {
    release(entry);
    return NO_ENTRY;
  }
  charge(entry, entry.content);
  entry.version.stat.size = bytes;
  return entry;
}

/** Charges a block to the entry, with the heap's overhead. */
function charge(entry: Entry, block: usize): void {
  const bytes = allocatedBytes(block);
  entry.heapBytes += bytes;
  take(bytes);
}

/** Puts the entry into the cache, in place of one that was loaded meanwhile. */
function enlist(entry: Entry): void {
  const bucket = bucketOf(entry.version.stat.ino, entry.key);
  const other = lookUp(entry.version.stat, entry.key);
  if (other) {
    other.users--;
    drop(other);
  }
  entry.nextInBucket = changetype<Entry | null>(<usize>load<u32>(bucket));
  store<u32>(bucket, <u32>changetype<usize>(entry));
  linkUse(entry);
  entry.listed = true;
  add(shownEntries);
}

/** Maps or reads the whole file. Yields. Returns false if it must be read piece by piece. */
function fill(entry: Entry): bool {
  if (!(isMapped(entry.size) && mapWhole(entry)) && !readWhole(entry)) return false;
  // The file may have changed while it was read.
  const status = SysStatOpenFile(entry.file, changetype<usize>(opened));
  if (status < 0 || !isSameFile(entry.version.stat, opened)) {
    empty(entry);
    return false;
  }
  return true;
}

/** Frees the content. */
function empty(entry: Entry): void {
  if (entry.mapped) {
    SysUnmapFile(entry.content);
  } else {
    const bytes = allocatedBytes(entry.content);
    entry.heapBytes -= bytes;
    take(-<i64>bytes);
    ToroFreeMem(entry.content);
  }
  entry.mapped = false;
  entry.content = 0;
}

function isMapped(bytes: u64): bool {
  return hasWindow && bytes >= MAPPED_BYTES_MIN && bytes <= MAPPED_BYTES_MAX;
}

/** Maps the file, evicting entries that are not in use. Returns false if it is not mapped. */
function mapWhole(entry: Entry): bool {
  let address: i64 = -Errno.ENOSPC;
  while (address == -Errno.ENOSPC) {
    address = SysMapFile(entry.file, 0, <u32>entry.size, 0);
    if (address == -Errno.ENOSPC && !evict(true)) break;
  }
  if (address == -Errno.ENODEV) hasWindow = false;
  if (address < 0) return false;
  entry.content = <usize>address;
  entry.mapped = true;
  return true;
}

function readWhole(entry: Entry): bool {
  if (entry.size > HEAP_BYTES_MAX) return false;
  const size = <u32>entry.size;
  const content = allocate(size);
  if (content == 0) return false;
  entry.content = content;
  charge(entry, content);
  let at: u32 = 0;
  let got: i32 = 1;
  while (at < size && got > 0) {
    got = SysReadFileAt(entry.file, content + at, size - at, at);
    if (got > 0) at += got;
  }
  if (at == size) return true;
  empty(entry);
  return false;
}

const scratch: usize = memory.data(FILE_HEADERS_BYTES_MAX);

/** Prepares the headers that all responses share, unless they change every second. */
function describe(entry: Entry, site: Site): void {
  if (entry.version.isYoung) return;
  const bytes = <u32>(putFileHeaders(scratch, entry, site, 0) - scratch);
  const headers = allocate(bytes);
  if (headers == 0) return;
  memory.copy(headers, scratch, bytes);
  entry.headers = headers;
  entry.headersBytes = bytes;
  charge(entry, headers);
}

/**
 * The headers of the file but for those in the mask `replaced`; prepared ones, unless the file is
 * young, or the wall clock has been set back so that it seems to be.
 */
export function putHeadersOf(at: usize, entry: Entry, site: Site, replaced: u32): usize {
  if (entry.headers == 0 && entry.content != 0) describe(entry, site);
  return entry.headers == 0 || replaced != 0 || entry.version.isYoung
    ? putFileHeaders(at, entry, site, replaced)
    : putBytes(at, entry.headers, entry.headersBytes);
}
