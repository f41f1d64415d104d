// FUSE sessions and the devices that carry them: how a session begins, and begins again after its
// device has failed. To a file system the device is an opaque number.
import { FS_SHM_WINDOW } from "../../abi/fuse-window";
import { findFsDriver, fsRestart } from "../../drivers/fs";
import { giveUp, report } from "../../drivers/fs/completion";
import { attach, FsDriver } from "../../drivers/fs/driver";
import { NEVER, nowNs } from "../clock";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { wait, wakeSome } from "../scheduler";
import { WaitQueue } from "../thread";
import { allocateBatches, dropForgotten, freeBatches, sendForgotten } from "./forget";
import { hasFailed, Session } from "./session";

const SPACE: usize = (offsetof<Session>() + 7) & ~7;
const SLOW_SPACE: usize = SPACE + offsetof<WaitQueue>();
const SESSION_BYTES: usize = SLOW_SPACE + offsetof<WaitQueue>();

/** The device with that tag, or 0. */
export function findDevice(tag: usize, tagBytes: u32): usize {
  const driver = findFsDriver(tag, tagBytes);
  return driver ? changetype<usize>(driver) : 0;
}

export function isDeviceFailed(device: usize): bool {
  return changetype<FsDriver>(device).device.failed;
}

/**
 * The session on the device, which is made if there is none, with `roomBytes` of the file system's
 * beside each request. Null: no memory.
 */
export function sessionOn(device: usize, roomBytes: u32): Session | null {
  const driver = changetype<FsDriver>(device);
  if (driver.owner != 0) return changetype<Session>(driver.owner);
  const address = ToroAllocMem(SESSION_BYTES);
  if (address == 0) return null;
  const session = changetype<Session>(address);
  session.driver = driver;
  session.roomBytes = roomBytes;
  session.space = changetype<WaitQueue>(address + SPACE);
  session.slowSpace = changetype<WaitQueue>(address + SLOW_SPACE);
  if (!allocateBatches(session)) {
    freeBatches(session);
    ToroFreeMem(address);
    return null;
  }
  const interrupted = (onInterrupt as (arg: usize) => void).index;
  attach(driver, address, interrupted, (onFailure as (arg: usize) => void).index);
  return session;
}

function onInterrupt(address: usize): void {
  sendForgotten(changetype<Session>(address));
}

function onFailure(address: usize): void {
  const session = changetype<Session>(address);
  dropForgotten(session);
  wakeSome(session.space, u32.MAX_VALUE);
  wakeSome(session.slowSpace, u32.MAX_VALUE);
}

/**
 * Waits while another thread restarts the device. Yields; the caller is shielded. Returns true if
 * the device has failed and can be restarted: the caller does that, until endRestart().
 */
export function beginRestart(session: Session): bool {
  while (session.restarting) wait(session.space, NEVER);
  if (!hasFailed(session) || nowNs() < session.driver.restartNs || !session.started) return false;
  session.restarting = true;
  return true;
}

export function endRestart(session: Session): void {
  assert(session.restarting, "fs: done twice");
  session.restarting = false;
  wakeSome(session.space, u32.MAX_VALUE);
}

/** Restarts the device, for which INIT comes next. Returns false if it has failed again. */
export function restartDevice(session: Session): bool {
  assert(session.restarting && session.forgotten == 0, "fs: in use");
  if (fsRestart(session.driver, session.allocated) == 0) return true;
  giveUp(session.driver);
  return false;
}

/** The new INIT has failed. */
export function giveUpDevice(session: Session): void {
  giveUp(session.driver);
}

/** Prints one line about the session's device. */
export function reportDevice(session: Session, text: string): void {
  report(session.driver, text);
}

/** The device's window (virtio 5.11.6.4): where its shared memory is, and how many bytes. */
export function windowBase(session: Session): u64 {
  return session.driver.device.sharedMemoryBase(FS_SHM_WINDOW);
}

export function windowBytes(session: Session): u64 {
  return session.driver.device.sharedMemoryBytes(FS_SHM_WINDOW);
}
