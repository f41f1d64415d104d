// The records of connections in TIME-WAIT: a table of fixed size, in which each is found by its
// addresses as sockets are (socket/table.ts), and all are in the order in which they end.
import { addressHash } from "../../socket/table";

@unmanaged
export class TimeWait {
  endsMs: u32;
  remoteAddress: u32;
  ports: u32; // local, remote
  sndNxt: u32;
  rcvNxt: u32;
  tsRecent: u32;
  tsOffset: u32;
  hasTimestamps: bool;
}

/** A record's neighbours, by their numbers. */
@unmanaged
class Links {
  inBucket: u16; // the next one, 0: none; the first field, as a bucket is one
  older: u16;
  newer: u16;
}

export const NO_RECORD: TimeWait = changetype<TimeWait>(0);

/** TC28: the record that ends first gives its place away. */
const RECORDS: u32 = 1024;
const BUCKETS: u32 = 1024;
const RECORD_SHIFT: u32 = 5;

// Record 0 holds nothing: it is the end of the order, from which both directions begin.
const records: usize = memory.data(1025 * 32);
const links: usize = memory.data(1025 * 6);
const buckets: usize = memory.data(1024 * 2);
let count: u32 = 0;
let used: u32 = 0; // records that have ever been used
let free: u32 = 0; // the first of those that are free again, which inBucket joins

if (offsetof<TimeWait>() > 1 << RECORD_SHIFT) ERROR("time-wait: a record is larger than 32 bytes");
if (offsetof<Links>() != 6) ERROR("time-wait: wrong size of links");
if ((BUCKETS & (BUCKETS - 1)) != 0) ERROR("time-wait: the number of buckets is no power of two");

/** Connections in TIME-WAIT. */
export function timeWaitCount(): u32 {
  return count;
}

function recordAt(i: u32): TimeWait {
  return i == 0 ? NO_RECORD : changetype<TimeWait>(records + (i << RECORD_SHIFT));
}

function numberOf(record: TimeWait): u32 {
  return <u32>(changetype<usize>(record) - records) >> RECORD_SHIFT;
}

function linksOf(i: u32): Links {
  return changetype<Links>(links + i * offsetof<Links>());
}

function bucketOf(address: u32, ports: u32): usize {
  return buckets + ((addressHash(ports >> 16, address, ports & 0xffff) & (BUCKETS - 1)) << 1);
}

/** The record that ends first, or NO_RECORD. */
export function oldestTimeWait(): TimeWait {
  return recordAt(linksOf(0).newer);
}

/** NO_RECORD: there is none of these addresses. */
export function findTimeWait(address: u32, ports: u32): TimeWait {
  for (let i: u32 = load<u16>(bucketOf(address, ports)); i != 0; i = linksOf(i).inBucket) {
    const record = recordAt(i);
    if (record.ports == ports && record.remoteAddress == address) return record;
  }
  return NO_RECORD;
}

/** A record of addresses that have none; it ends last. In a full table the oldest leaves. */
export function createTimeWait(address: u32, ports: u32): TimeWait {
  if (count == RECORDS) removeTimeWait(oldestTimeWait());
  const i = free != 0 ? free : ++used;
  if (free != 0) free = linksOf(i).inBucket;
  count++;
  const record = recordAt(i);
  record.remoteAddress = address;
  record.ports = ports;
  const bucket = bucketOf(address, ports);
  linksOf(i).inBucket = load<u16>(bucket);
  store<u16>(bucket, <u16>i);
  append(i);
  return record;
}

/** The addresses may be used again. */
export function removeTimeWait(record: TimeWait): void {
  const i = numberOf(record);
  let at = bucketOf(record.remoteAddress, record.ports);
  while (load<u16>(at) != i) at = changetype<usize>(linksOf(load<u16>(at)));
  store<u16>(at, linksOf(i).inBucket);
  detach(i);
  linksOf(i).inBucket = <u16>free;
  free = i;
  count--;
}

/** The record ends last from now on. */
export function postponeTimeWait(record: TimeWait): void {
  const i = numberOf(record);
  detach(i);
  append(i);
}

function append(i: u32): void {
  const last = linksOf(0).older;
  linksOf(i).older = last;
  linksOf(i).newer = 0;
  linksOf(last).newer = linksOf(0).older = <u16>i;
}

function detach(i: u32): void {
  const gone = linksOf(i);
  linksOf(gone.older).newer = gone.newer;
  linksOf(gone.newer).older = gone.older;
}
