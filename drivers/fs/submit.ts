// Submits requests to the virtio-fs device, and waits for them. The device usually answers before
// the kick returns, so the used rings are drained before a thread sleeps.
import { Errno } from "../../abi/errno";
import { nowNs } from "../../kernel/clock";
import { IoVec, VECTOR_MAX } from "../../kernel/iovec";
import { wait } from "../../kernel/scheduler";
import { VirtQueue } from "../virtqueue";
import { checkDevice, drain } from "./completion";
import { FsDriver, FsRequest, SILENCE_NS } from "./driver";
import { queueFor, SEGMENTS_FIXED } from "./queues";

/** Submits a request. Does not yield; `inFlight` is false if it has ended already. */
export function submit(driver: FsDriver, request: FsRequest): void {
  assert(!request.inFlight, "fs: in flight");
  assert(request.reply != 0, "fs: empty");
  if (driver.device.failed) {
    request.result = -Errno.EIO;
    return;
  }
  const segments = request.segments;
  assert(segments <= VECTOR_MAX, "fs: too many");
  const queue = queueFor(driver, request.slow);
  queue.begin(SEGMENTS_FIXED + segments);
  queue.readable(request.head, request.headBytes);
  if (request.sends) addVector(queue, request.vector, segments, true);
  queue.writable(request.reply, request.replyBytes);
  if (!request.sends) addVector(queue, request.vector, segments, false);
  request.inFlight = true;
  queue.add(changetype<usize>(request));
  queue.kick();
  drain(driver);
  // An answer that comes later has to interrupt.
  if (request.inFlight && queue.enableInterrupts()) drain(driver);
}

function addVector(queue: VirtQueue, vector: usize, segments: u32, readable: bool): void {
  for (let i: u32 = 0; i < segments; i++) {
    const segment = changetype<IoVec>(vector + i * offsetof<IoVec>());
    if (readable) queue.readable(segment.base, segment.length);
    else queue.writable(segment.base, segment.length);
  }
}

/** Has the high-priority queue room for a message? */
export function canTakeMessage(driver: FsDriver): bool {
  return driver.hiprio.hasRoom(1);
}

/**
 * Submits a message without a reply on the high-priority queue; it must have a handler, and
 * canTakeMessage() be true. Does not yield.
 */
export function submitMessage(driver: FsDriver, message: FsRequest): void {
  assert(!message.inFlight, "fs: in flight");
  assert(message.handler != 0, "fs: no reply");
  assert(!driver.device.failed, "fs: state");
  const hiprio = driver.hiprio;
  hiprio.begin(1);
  hiprio.readable(message.head, message.headBytes);
  message.inFlight = true;
  hiprio.add(changetype<usize>(message));
  hiprio.kick();
  drain(driver);
  if (hiprio.inFlight != 0 && hiprio.enableInterrupts()) drain(driver);
}

/** Waits for the end of a request. Yields; the caller is shielded. */
export function waitForEnd(driver: FsDriver, request: FsRequest): void {
  assert(request.handler == 0, "fs: in use");
  for (let checks: u32 = 1; request.inFlight; checks++) {
    if (wait(request.waiter, nowNs() + SILENCE_NS) == 0) continue;
    drain(driver);
    if (!request.inFlight) return;
    checkDevice(driver, request.slow, checks);
  }
}
