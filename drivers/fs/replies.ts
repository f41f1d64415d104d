// What the virtio-fs device has answered, which is checked before anybody believes it, and the end
// of one that answers nonsense or nothing.
import { ERRNO_MAX, Errno } from "../../abi/errno";
import { FuseOutHeader } from "../../abi/fuse";
import { nowNs, NS_PER_S } from "../../kernel/clock";
import { print, printBytes, putByte } from "../../kernel/console";
import { wakeAll, wakeSome } from "../../kernel/scheduler";
import {
  FsDriver,
  FsRequest,
  LOOKS_MAX,
  replyHeaderOf,
  RequestState,
  waiterOf,
} from "./driver";
import { dropForgotten, freeBatch } from "./forgotten";
import { isOwed, recycle, requestAt } from "./pool";
import { queueAt } from "./queues";

/** Between two lines on the console about a device that is slow. */
const TOLD_NS: u64 = 60 * NS_PER_S;
/** Between the end of a device and its new beginning. */
const RESTART_NS: u64 = NS_PER_S;

/** Takes what the device has used, from all queues. Does not yield. */
export function drain(driver: FsDriver): void {
  for (let i: u32 = 0; i < driver.queueCount; i++) {
    const queue = queueAt(driver, i);
    for (let token = queue.take(); token != 0; token = queue.take()) {
      const request = changetype<FsRequest>(token);
      driver.progressNs = nowNs();
      request.result = checkReply(request, queue.usedBytes);
      settle(request);
    }
  }
  const hiprio = driver.hiprio;
  for (let batch = hiprio.take(); batch != 0; batch = hiprio.take()) {
    driver.progressNs = nowNs();
    freeBatch(driver, batch);
    wakeSome(driver.space, u32.MAX_VALUE);
  }
  if (driver.device.failed && driver.live) abandon(driver);
}

/** The reply's bytes behind its header, or -Errno. What it says about itself must be the truth. */
function checkReply(request: FsRequest, usedBytes: u32): i32 {
  const header = replyHeaderOf(request);
  if (usedBytes < <u32>FuseOutHeader.sizeof) return -Errno.EIO;
  if (load<u32>(header, FuseOutHeader.len) != usedBytes) return -Errno.EIO;
  if (load<u64>(header, FuseOutHeader.unique) != request.unique) return -Errno.EIO;
  const bytes = usedBytes - <u32>FuseOutHeader.sizeof;
  const error = load<i32>(header, FuseOutHeader.error);
  if (error != 0) return error > 0 || error < -ERRNO_MAX || bytes != 0 ? -Errno.EIO : error;
  if (request.dataBytes != 0 ? bytes > request.dataBytes : bytes != request.replyBytes) {
    return -Errno.EIO;
  }
  return bytes;
}

function settle(request: FsRequest): void {
  if (request.state == RequestState.Detached) return recycle(request);
  request.state = RequestState.Done;
  wakeAll(waiterOf(request));
}

/**
 * It has been silent at so many looks: one that has gone is given up, one that is slow is told of
 * now and then, unless that was to be expected.
 */
export function lookAt(driver: FsDriver, slow: bool, looks: u32): void {
  if (driver.device.failed) return;
  if (looks == LOOKS_MAX || !driver.device.isLive()) return giveUp(driver);
  if (slow || nowNs() < driver.toldNs + TOLD_NS) return;
  driver.toldNs = nowNs();
  tell(driver, "is slow: a request waits for it\n");
}

/** One line about the device on the console. */
export function tell(driver: FsDriver, text: string): void {
  print("virtio-fs ");
  printBytes(driver.tag, driver.tagBytes);
  putByte(0x20);
  print(text);
}

/** The device answers no more. After its reset it touches no buffer. */
export function giveUp(driver: FsDriver): void {
  driver.device.fail();
  if (driver.live) abandon(driver);
  // So that one that fails at once is no loop.
  driver.restartNs = nowNs() + RESTART_NS;
}

/** Ends all that a failed device had. It may be brought up again (restart.ts). */
function abandon(driver: FsDriver): void {
  driver.live = false;
  driver.restartNs = nowNs() + RESTART_NS;
  tell(driver, "has failed and was reset\n");
  for (let i: u32 = 0; i < driver.allocated; i++) {
    const request = requestAt(driver, i);
    if (!isOwed(request)) continue;
    request.result = -Errno.EIO;
    settle(request);
  }
  dropForgotten(driver);
  wakeSome(driver.space, u32.MAX_VALUE);
  wakeSome(driver.slowSpace, u32.MAX_VALUE);
}
