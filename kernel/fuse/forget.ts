// FORGET: references to nodes that go back to the server, in batches on the high-priority queue,
// which carries nothing else (F7). The server does not answer. Nodes wait in a list for a batch.
import { FuseBatchForgetIn, FuseForgetOne, FuseInHeader, FuseOpcode } from "../../abi/fuse";
import { FsRequest } from "../../drivers/fs/driver";
import { canTakeMessage, submitMessage } from "../../drivers/fs/submit";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { wakeSome } from "../scheduler";
import { waitForProgress } from "./pool";
import { putHeader } from "./request";
import { Batch, Forgotten, hasFailed, Session } from "./session";

/** Nodes that may wait for a batch; a thread that would add more waits itself. */
const FORGOTTEN_MAX: u32 = 256;
/** Nodes in one batch. */
const RECORDS_MAX: u32 = 64;

// Embedded parts of a batch, by offset.
const MESSAGE: usize = (offsetof<Batch>() + 7) & ~7;
const HEADER: usize = (MESSAGE + offsetof<FsRequest>() + 7) & ~7;
const LIST: usize = HEADER + FuseInHeader.sizeof;
const RECORDS: usize = LIST + FuseBatchForgetIn.sizeof;
const BATCH_BYTES: usize = RECORDS + RECORDS_MAX * FuseForgetOne.sizeof;

/** Makes as many batches as the queue takes. Returns false if there is no memory for one. */
export function allocateBatches(session: Session): bool {
  if ((RECORDS & 7) != 0) ERROR("fuse: batch layout");
  for (let i: u32 = 0; i < session.driver.hiprio.size; i++) {
    const address = ToroAllocMem(BATCH_BYTES);
    if (address == 0) return false;
    const batch = changetype<Batch>(address);
    const message = changetype<FsRequest>(address + MESSAGE);
    batch.session = session;
    batch.message = message;
    message.head = address + HEADER;
    message.arg = address;
    pushBatch(batch);
  }
  return true;
}

/** Frees the batches of a session that has sent none. */
export function freeBatches(session: Session): void {
  for (let batch = session.firstBatch; batch; batch = session.firstBatch) {
    session.firstBatch = batch.next;
    ToroFreeMem(changetype<usize>(batch));
  }
}

function pushBatch(batch: Batch): void {
  batch.next = batch.session.firstBatch;
  batch.session.firstBatch = batch;
}

/** The device has read a batch, or has failed. */
function endBatch(address: usize): void {
  const batch = changetype<Batch>(address);
  pushBatch(batch);
  wakeSome(batch.session.space, u32.MAX_VALUE);
}

/**
 * Gives `lookups` references to a node back to the server, soon. `block` is memory of the heap, of
 * at least a Forgotten, that belongs to the session from now on.
 */
export function forget(session: Session, nodeid: u64, lookups: u64, block: usize): void {
  assert(lookups != 0, "fs: empty");
  if (hasFailed(session)) {
    ToroFreeMem(block);
    return;
  }
  const record = changetype<Forgotten>(block);
  record.nodeid = nodeid;
  record.lookups = lookups;
  record.next = null;
  const last = session.lastForgotten;
  if (last) last.next = record;
  else session.firstForgotten = record;
  session.lastForgotten = record;
  session.forgotten++;
}

function popForgotten(session: Session): Forgotten {
  assert(session.forgotten != 0, "fs: empty");
  const record = session.firstForgotten!;
  session.firstForgotten = record.next;
  if (!record.next) session.lastForgotten = null;
  session.forgotten--;
  assert((session.forgotten == 0) == (session.lastForgotten == null), "fs: count");
  return record;
}

/** The device has failed, and the session with it: nobody is left to tell. */
export function dropForgotten(session: Session): void {
  while (session.forgotten != 0) ToroFreeMem(changetype<usize>(popForgotten(session)));
}

/** Sends forgotten nodes while batches are free; the rest follows. Does not yield. */
export function sendForgotten(session: Session): void {
  const driver = session.driver;
  while (session.forgotten != 0 && !driver.device.failed && canTakeMessage(driver)) {
    const batch = session.firstBatch;
    if (!batch) return;
    session.firstBatch = batch.next;
    fillBatch(session, batch);
    submitMessage(driver, batch.message);
  }
}

/** Moves forgotten nodes into a batch. */
function fillBatch(session: Session, batch: Batch): void {
  const address = changetype<usize>(batch);
  const count = min(session.forgotten, RECORDS_MAX);
  assert(count != 0 && !batch.message.inFlight, "fs: in flight");
  const list = address + LIST;
  store<u64>(list, count, FuseBatchForgetIn.count); // and the padding
  let at = address + RECORDS;
  for (let i: u32 = 0; i < count; i++, at += FuseForgetOne.sizeof) {
    const record = popForgotten(session);
    store<u64>(at, record.nodeid, FuseForgetOne.nodeid);
    store<u64>(at, record.lookups, FuseForgetOne.nlookup);
    ToroFreeMem(changetype<usize>(record));
  }
  const message = batch.message;
  message.headBytes = <u32>(at - message.head);
  message.handler = (endBatch as (arg: usize) => void).index;
  putHeader(message.head, message.headBytes, FuseOpcode.BATCH_FORGET, ++session.unique, 0);
}

/** Waits while too many nodes wait to be forgotten. Yields. */
export function waitForForgotten(session: Session): void {
  let checks: u32 = 0;
  while (session.forgotten > FORGOTTEN_MAX && !hasFailed(session)) {
    sendForgotten(session);
    if (session.forgotten > FORGOTTEN_MAX) checks = waitForProgress(session, checks);
  }
}
