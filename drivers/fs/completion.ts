// The end of requests of the virtio-fs driver: those that the device has used, and all of them when
// the device fails. How a silent device is checked, and when it is given up.
import { Errno } from "../../abi/errno";
import { nowNs, NS_PER_S } from "../../kernel/clock";
import { print, printBytes, putByte } from "../../kernel/console";
import { beginAtomic, endAtomic, wakeAll } from "../../kernel/scheduler";
import { VirtQueue } from "../virtqueue";
import { CHECKS_MAX, FsDriver, FsRequest } from "./driver";
import { isBusy, queueAt } from "./queues";

/** Between two lines on the console about a slow device. */
const WARNING_NS: u64 = 60 * NS_PER_S;
/** Between a failure and the restart: a device that fails at once must not cause a busy loop. */
const RESTART_NS: u64 = NS_PER_S;

/** Ends the requests that the device has used, on all queues. Does not yield. */
export function drain(driver: FsDriver): void {
  for (let i: u32 = 0; i < driver.queueCount; i++) {
    const queue = queueAt(driver, i);
    if (queue.hasUsed()) drainQueue(driver, queue);
  }
  if (driver.hiprio.hasUsed()) drainQueue(driver, driver.hiprio);
  if (driver.device.failed && driver.live) endAll(driver);
}

function drainQueue(driver: FsDriver, queue: VirtQueue): void {
  do {
    const token = queue.take();
    if (token == 0) return; // the device broke the rules
    driver.progressNs = nowNs();
    complete(changetype<FsRequest>(token), queue.usedBytes);
  } while (queue.hasUsed());
}

function complete(request: FsRequest, result: i32): void {
  assert(request.inFlight, "fs: not held");
  request.inFlight = false;
  request.result = result;
  const handler = request.handler;
  if (handler == 0) return wakeAll(request.waiter);
  request.handler = 0;
  notify(handler, request.arg);
}

/** Calls a handler, which never yields. */
export function notify(handler: u32, arg: usize): void {
  beginAtomic();
  call_indirect<void>(handler, arg);
  endAtomic();
}

/**
 * Drains a device that somebody has waited for since `sinceNs`. Returns true if it owes an answer
 * and has completed nothing since then. The guest may own everything: a suspended thread keeps its
 * request as long as it likes.
 */
export function isSilent(driver: FsDriver, sinceNs: u64): bool {
  drain(driver);
  return driver.progressNs < sinceNs && isBusy(driver);
}

/**
 * Checks a device that has been silent `checks` times in a row: one that has gone is given up, a
 * slow one is reported now and then, unless the request was expected to be `slow`.
 */
export function checkDevice(driver: FsDriver, slow: bool, checks: u32): void {
  assert(checks != 0 && checks <= CHECKS_MAX, "fs: count");
  if (driver.device.failed) return;
  if (checks == CHECKS_MAX || !driver.device.isLive()) return giveUp(driver);
  if (slow || nowNs() < driver.warnedNs + WARNING_NS) return;
  driver.warnedNs = nowNs();
  report(driver, "is slow: a request waits for it\n");
}

/** Prints one line about the device. */
export function report(driver: FsDriver, text: string): void {
  print("virtio-fs ");
  printBytes(driver.tag, driver.tagBytes);
  putByte(0x20);
  print(text);
}

/** Resets the device, which then touches no buffer, and ends its requests. */
export function giveUp(driver: FsDriver): void {
  driver.device.fail();
  if (driver.live) endAll(driver);
  driver.restartNs = nowNs() + RESTART_NS;
}

/**
 * Ends all requests of a device that has failed. It may be restarted. Does not yield, not even to
 * report the failure on a console that is full: drain() must be a leaf.
 */
function endAll(driver: FsDriver): void {
  beginAtomic();
  assert(driver.device.failed && driver.live, "fs: state");
  driver.live = false;
  driver.restartNs = nowNs() + RESTART_NS;
  report(driver, "has failed and was reset\n");
  for (let i: u32 = 0; i < driver.queueCount; i++) endQueue(queueAt(driver, i));
  endQueue(driver.hiprio);
  assert(!isBusy(driver), "fs: in flight");
  if (driver.owner != 0) notify(driver.onFailure, driver.owner);
  endAtomic();
}

function endQueue(queue: VirtQueue): void {
  for (let token = queue.reclaim(); token != 0; token = queue.reclaim()) {
    complete(changetype<FsRequest>(token), -Errno.EIO);
  }
}
