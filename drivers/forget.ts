// FORGET, the virtio-fs driver's other half: nodes that the server may forget go out in batches on
// the high-priority queue, which carries nothing else (F7). What finds no room there waits in a
// list.
import { Errno } from "./abi/errno";
import { FuseBatchForgetIn, FuseForgetOne, FuseInHeader, FuseOpcode } from "./abi/fuse";
import { ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import { drain, FsDriver, putHeader } from "./fs";
import { waitForProgress } from "./fs-requests";

/** BATCH_FORGETs in flight, and what each of them can carry. */
export const BATCHES_MAX: u32 = 4;
const BATCH_RECORDS: u32 = 64;
/** Forgotten nodes that may wait for a batch; whoever would make more waits. */
const FORGOTTEN_MAX: u32 = 256;

/** A node that the server may forget: the head of the kernel's own record of it. */
@unmanaged
export class Forgotten {
  nextForgotten: Forgotten | null;
  nodeid: u64;
  lookups: u64; // references to give back
}

export function allocateBatches(driver: FsDriver): i32 {
  const bytes: usize =
    FuseInHeader.sizeof + FuseBatchForgetIn.sizeof + BATCH_RECORDS * FuseForgetOne.sizeof;
  for (let i: u32 = 0; i < driver.hiprio.size; i++) {
    const batch = ToroAllocMem(bytes);
    if (batch == 0) return -Errno.ENOMEM;
    freeBatch(driver, batch);
  }
  return 0;
}

/** Gives a node back to the server, soon. The record is the driver's now, which frees it. */
export function forget(driver: FsDriver, record: Forgotten): void {
  if (driver.device.failed) {
    ToroFreeMem(changetype<usize>(record));
    return;
  }
  record.nextForgotten = null;
  const last = driver.lastForgotten;
  if (last) last.nextForgotten = record;
  else driver.firstForgotten = record;
  driver.lastForgotten = record;
  driver.forgotten++;
}

function popForgotten(driver: FsDriver): Forgotten {
  const record = driver.firstForgotten!;
  driver.firstForgotten = record.nextForgotten;
  if (!record.nextForgotten) driver.lastForgotten = null;
  driver.forgotten--;
  return record;
}

/** The device has failed, and the session with it: there is nobody to tell. */
export function dropForgotten(driver: FsDriver): void {
  while (driver.forgotten != 0) ToroFreeMem(changetype<usize>(popForgotten(driver)));
}

/** Sends what was forgotten, as far as the queue has room; the rest follows. Does not yield. */
export function sendForgotten(driver: FsDriver): void {
  while (driver.forgotten != 0 && !driver.device.failed && driver.freeBatches != 0) {
    const batch = driver.freeBatches;
    driver.freeBatches = load<usize>(batch);
    const bytes = fillBatch(driver, batch);
    const hiprio = driver.hiprio;
    hiprio.begin(1);
    hiprio.readable(batch, bytes);
    hiprio.add(batch);
    hiprio.kick();
    drain(driver);
    if (hiprio.inFlight != 0 && hiprio.enableInterrupts()) drain(driver);
  }
}

/** Moves forgotten nodes into a request; returns its bytes. */
function fillBatch(driver: FsDriver, batch: usize): u32 {
  const count = min(driver.forgotten, BATCH_RECORDS);
  const bytes =
    <u32>FuseInHeader.sizeof + FuseBatchForgetIn.sizeof + count * FuseForgetOne.sizeof;
  putHeader(batch, bytes, FuseOpcode.BATCH_FORGET, ++driver.unique, 0);
  const list = batch + FuseInHeader.sizeof;
  store<u64>(list, count, FuseBatchForgetIn.count); // and the padding
  let at = list + FuseBatchForgetIn.sizeof;
  for (let i: u32 = 0; i < count; i++, at += FuseForgetOne.sizeof) {
    const record = popForgotten(driver);
    store<u64>(at, record.nodeid, FuseForgetOne.nodeid);
    store<u64>(at, record.lookups, FuseForgetOne.nlookup);
    ToroFreeMem(changetype<usize>(record));
  }
  return bytes;
}

export function freeBatch(driver: FsDriver, batch: usize): void {
  store<usize>(batch, driver.freeBatches);
  driver.freeBatches = batch;
}

/** Waits while too many nodes wait to be forgotten. Yields. */
export function waitForForgotten(driver: FsDriver): void {
  while (driver.forgotten > FORGOTTEN_MAX && !driver.device.failed) {
    sendForgotten(driver);
    if (driver.forgotten > FORGOTTEN_MAX) waitForProgress(driver);
  }
}
