// Nodes that the server may forget: a list of them, and the buffers in which they are told.
import { Errno } from "../../abi/errno";
import { FuseBatchForgetIn, FuseForgetOne, FuseInHeader, FuseOpcode } from "../../abi/fuse";
import { ToroAllocMem, ToroFreeMem } from "../../kernel/memory";
import { Forgotten, FsDriver, putHeader } from "./driver";

/** BATCH_FORGETs in flight, and what each of them can carry. */
export const BATCHES_MAX: u32 = 4;
const BATCH_RECORDS: u32 = 64;

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

/** Moves forgotten nodes into a request; returns its bytes. */
export function fillBatch(driver: FsDriver, batch: usize): u32 {
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
