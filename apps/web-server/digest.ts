// Tags made from what a file holds (ET2, ET3): SHA-256, computed in the guest, so that any device
// that serves files will do. One digest for each generation of a file is kept beyond its cache
// entry. The first request for a file up to 8 MiB waits for it, and others have turns meanwhile; a
// larger one is read in the background, and has its date as tag until then.
import {
  BeginThread,
  FileStat,
  NEVER,
  Sleep,
  SysReadFileAt,
  SysStatOpenFile,
  SysThreadSwitch,
  ToroFreeMem,
  ToroGetMem,
  wait,
  WaitQueue,
  wakeSome,
} from "torito/kernel/api";
import { isSameFile, Version } from "torito/guest/http/version";
import { Sha256 } from "torito/guest/sha256";
import { release } from "./cache";
import { Entry } from "./entry";

/** Larger files are read in the background. */
const AT_ONCE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/** A turn of others comes after this many bytes: about a quarter of a millisecond. */
const PIECE_BYTES: u32 = 65536;
/** Rest of the background after a piece. */
const REST_MS: u32 = 2;

@unmanaged
class Known {
  ino: u64; // 0: none
  size: u64;
  mtimeNs: i64;
  ctimeNs: i64;
  high: u64;
  low: u64;
}
/** A digest displaces another one whose inode falls on the same place. */
const KNOWN_MAX: u64 = 512;
const KNOWN_BYTES = <i32>offsetof<Known>();
const known: usize = memory.data(512 * KNOWN_BYTES, 8);

const foreground = changetype<Sha256>(memory.data(offsetof<Sha256>()));
const background = changetype<Sha256>(memory.data(offsetof<Sha256>()));
const waiting = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));
let isHashing = false; // in the foreground
let isReading = false; // in the background

/** Gives the entry's version the digest of its content, now or later. Yields. */
export function addDigest(entry: Entry): void {
  if (recall(entry.version)) return;
  if (entry.size > AT_ONCE_BYTES_MAX) {
    hashLater(entry);
    return;
  }
  while (isHashing) wait(waiting, NEVER);
  isHashing = true;
  // Perhaps that was the same file.
  if (!recall(entry.version)) hash(entry, foreground, 0);
  isHashing = false;
  wakeSome(waiting, 1);
}

function placeOf(version: Version): Known {
  const ino = version.stat.ino;
  return changetype<Known>(known + <usize>((ino ^ (ino >> 9)) % KNOWN_MAX) * KNOWN_BYTES);
}

/** Sets the digest if it is known. */
function recall(version: Version): bool {
  const place = placeOf(version);
  const s = version.stat;
  if (place.ino != s.ino || place.size != s.size) return false;
  if (place.mtimeNs != s.mtimeNs || place.ctimeNs != s.ctimeNs) return false;
  setDigest(version, place.high, place.low);
  return true;
}

function setDigest(version: Version, high: u64, low: u64): void {
  version.digestHigh = high;
  version.digestLow = low;
  version.hasDigest = true;
}

function keep(version: Version): void {
  const place = placeOf(version);
  const s = version.stat;
  place.ino = s.ino;
  place.size = s.size;
  place.mtimeNs = s.mtimeNs;
  place.ctimeNs = s.ctimeNs;
  place.high = version.digestHigh;
  place.low = version.digestLow;
}

/** Hashes the content; without memory, or if the file changes, nothing comes of it. Yields. */
function hash(entry: Entry, state: Sha256, restMs: u32): void {
  state.begin();
  const isHashed = entry.content != 0
    ? hashMemory(entry, state)
    : hashFile(entry, state, restMs);
  if (!isHashed) return;
  state.finish();
  setDigest(entry.version, state.high, state.low);
  // A version that may change without a trace is not remembered.
  if (entry.version.believedUntilNs == NEVER) keep(entry.version);
}

function hashMemory(entry: Entry, state: Sha256): bool {
  const size = <u32>entry.size;
  for (let at: u32 = 0; at < size; at += PIECE_BYTES) {
    if (at != 0) SysThreadSwitch();
    state.update(entry.content + at, min(PIECE_BYTES, size - at));
  }
  return true;
}

function hashFile(entry: Entry, state: Sha256, restMs: u32): bool {
  const piece = ToroGetMem(PIECE_BYTES);
  if (piece == 0) return false;
  let at: u64 = 0;
  let got: i32 = 1;
  while (at < entry.size && got > 0) {
    const wanted = <u32>min<u64>(PIECE_BYTES, entry.size - at);
    got = SysReadFileAt(entry.file, piece, wanted, at);
    if (got > 0) state.update(piece, got);
    at += max(got, 0);
    if (restMs != 0) Sleep(restMs);
    else SysThreadSwitch();
  }
  ToroFreeMem(piece);
  if (at != entry.size) return false;
  const status = SysStatOpenFile(entry.file, changetype<usize>(stat));
  return status == 0 && isSameFile(stat, entry.version.stat);
}

/** One file at a time; another one's turn comes when it is asked for again. */
function hashLater(entry: Entry): void {
  if (isReading) return;
  entry.users++;
  isReading = BeginThread(hashInBackground, changetype<usize>(entry), 0) > 0;
  if (!isReading) entry.users--;
}

function hashInBackground(arg: usize): void {
  const entry = changetype<Entry>(arg);
  hash(entry, background, REST_MS);
  isReading = false;
  release(entry);
}
