// Queues of the virtio-fs driver. Any request may go to any request queue (F3).
import { Errno } from "../../abi/errno";
import { FS_QUEUE_REQUEST, FsConfig } from "../../abi/fuse";
import { VIRTIO_F_INDIRECT_DESC } from "../../abi/virtio";
import { VECTOR_MAX } from "../../kernel/iovec";
import { VirtQueue } from "../virtqueue";
import { FsDriver, REQUESTS_MAX } from "./driver";

/** Request queues used; the device may have more. */
export const QUEUES_MAX: u32 = 4;
/** Segments of a request without data: head and reply. */
export const SEGMENTS_FIXED: u32 = 2;

export function queueAt(driver: FsDriver, i: u32): VirtQueue {
  return changetype<VirtQueue>(driver.queues + i * offsetof<VirtQueue>());
}

/** Adds up to QUEUES_MAX request queues; the first one is required. Returns 0 or an error. */
export function addRequestQueues(driver: FsDriver): i32 {
  assert(driver.queueCount == 0 && !driver.live, "fs: done twice");
  const device = driver.device;
  const announced = device.readConfig32(FsConfig.num_request_queues);
  if (announced == 0) return -Errno.ENODEV;
  const indirect = device.has(VIRTIO_F_INDIRECT_DESC);
  let least = REQUESTS_MAX;
  for (let i: u32 = 0; i < min(announced, QUEUES_MAX); i++) {
    const queue = queueAt(driver, i);
    const segments = SEGMENTS_FIXED + VECTOR_MAX;
    const status = queue.attach(device, FS_QUEUE_REQUEST + i, REQUESTS_MAX, segments);
    // A chain may not be longer than the queue, not even an indirect one (2.7.5.3.1).
    const usable = status == 0 && queue.size > SEGMENTS_FIXED;
    if (!usable && i == 0) return status < 0 ? status : -Errno.ENODEV;
    if (!usable) break;
    least = min(least, queue.size);
    driver.queueCount++;
  }
  driver.dataSegments = indirect ? min(VECTOR_MAX, least - SEGMENTS_FIXED) : 1;
  // No more requests than each ring holds, so that adding one never fails.
  driver.requestsMax = indirect ? least : least / (SEGMENTS_FIXED + 1);
  assert(driver.requestsMax != 0 && driver.dataSegments != 0, "fs: empty");
  return 0;
}

/** Slow requests use the last queue; the others take the emptiest of the rest. */
export function queueFor(driver: FsDriver, slow: bool): VirtQueue {
  const last = driver.queueCount - 1;
  if (slow) return queueAt(driver, last);
  let best = queueAt(driver, 0);
  for (let i: u32 = 1; i < last; i++) {
    const queue = queueAt(driver, i);
    if (queue.inFlight < best.inFlight) best = queue;
  }
  return best;
}

/** Asks for interrupts on all queues. Returns true if something has been used already. */
export function enableInterrupts(driver: FsDriver): bool {
  let used = driver.hiprio.enableInterrupts();
  for (let i: u32 = 0; i < driver.queueCount; i++) {
    used = queueAt(driver, i).enableInterrupts() || used;
  }
  return used;
}

/** Does the device own any buffer? */
export function isBusy(driver: FsDriver): bool {
  for (let i: u32 = 0; i < driver.queueCount; i++) {
    if (queueAt(driver, i).inFlight != 0) return true;
  }
  return driver.hiprio.inFlight != 0;
}
