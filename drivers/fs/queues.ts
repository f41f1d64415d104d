// Request queues of the virtio-fs driver: which of them a request goes to, and what a chain is made
// of. F3: any request may go to any queue.
import { Errno } from "../../abi/errno";
import { FS_QUEUE_REQUEST, FsConfig } from "../../abi/fuse";
import { VIRTIO_F_INDIRECT_DESC } from "../../abi/virtio";
import { IoVec, VECTOR_MAX } from "../../kernel/iovec";
import { FsDriver, REQUESTS_MAX } from "./driver";
import { VirtQueue } from "../virtqueue";

/** Request queues that are used, of those that there are. */
export const QUEUES_MAX: u32 = 4;
/** Header and arguments; header and reply of fixed size. */
export const HEADERS: u32 = 2;

export function queueAt(driver: FsDriver, i: u32): VirtQueue {
  return changetype<VirtQueue>(driver.queues + i * offsetof<VirtQueue>());
}

/** As many as there are and we use; the first one must work. */
export function addRequestQueues(driver: FsDriver): i32 {
  const device = driver.device;
  const announced = device.readConfig32(FsConfig.num_request_queues);
  if (announced == 0) return -Errno.ENODEV;
  const indirect = device.has(VIRTIO_F_INDIRECT_DESC);
  let least = REQUESTS_MAX;
  for (let i: u32 = 0; i < min(announced, QUEUES_MAX); i++) {
    const queue = queueAt(driver, i);
    const segments = HEADERS + VECTOR_MAX;
    const status = queue.attach(device, FS_QUEUE_REQUEST + i, REQUESTS_MAX, segments);
    // A chain may not be longer than the queue, not even an indirect one (2.7.5.3.1).
    const usable = status == 0 && queue.size > HEADERS;
    if (!usable && i == 0) return status < 0 ? status : -Errno.ENODEV;
    if (!usable) break;
    least = min(least, queue.size);
    driver.queueCount++;
  }
  driver.dataSegments = indirect ? min(VECTOR_MAX, least - HEADERS) : 1;
  // No more requests than each ring holds, so that adding one never fails.
  driver.requestsMax = indirect ? least : least / (HEADERS + 1);
  return 0;
}

/** Fsync has a queue of its own where there are two; the others take what comes. */
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

/** Asks for interrupts on all queues. True: something has been used already. */
export function enableInterrupts(driver: FsDriver): bool {
  let used = driver.hiprio.enableInterrupts();
  for (let i: u32 = 0; i < driver.queueCount; i++) {
    used = queueAt(driver, i).enableInterrupts() || used;
  }
  return used;
}

export function segmentAt(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

export function lend(queue: VirtQueue, vector: usize, segments: u32, readable: bool): void {
  for (let i: u32 = 0; i < segments; i++) {
    const segment = segmentAt(vector, i);
    if (readable) queue.readable(segment.base, segment.length);
    else queue.writable(segment.base, segment.length);
  }
}
