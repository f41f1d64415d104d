// The state of the virtio-fs driver (virtio 5.11): a device, and the requests that it carries. A
// request is opaque bytes here: what they mean is FUSE's, in kernel/fuse.
import { NS_PER_S } from "../../kernel/clock";
import { WaitQueue } from "../../kernel/thread";
import { VirtioDevice } from "../virtio";
import { VirtQueue } from "../virtqueue";

/** Requests in flight on one device. */
export const REQUESTS_MAX: u32 = 64;
/** Messages in flight on the high-priority queue. */
export const MESSAGES_MAX: u32 = 4;
/**
 * The device is checked after this much silence. Silence alone is no failure: the host's disk may
 * be slow, and the guest's buffers belong to the device until it has answered.
 */
export const SILENCE_NS: u64 = 5 * NS_PER_S;
/**
 * Checks (5 minutes of them) after which the device is reset, which returns the buffers, and is
 * restarted. Checks are counted rather than time, so that a host that was asleep counts as one.
 */
export const CHECKS_MAX: u32 = 60;

/** One request: the buffers of its chain, and who hears of its end. Its owner allocates it. */
@unmanaged
export class FsRequest {
  // Set by the owner before submit().
  head: usize; // read by the device
  headBytes: u32;
  reply: usize; // written by the device; 0: a message without a reply
  replyBytes: u32;
  vector: usize; // IoVec entries
  segments: u32; // of them, none empty
  sends: bool; // the device reads them after the head; otherwise it writes them after the reply
  slow: bool; // the answer may take minutes
  // Set by the driver.
  inFlight: bool; // the device owns the buffers
  result: i32; // bytes that the device wrote, or -EIO
  // At the end handler(arg) is called once; without a handler, threads in `waiter` are woken.
  handler: u32; // table index of a function (arg: usize): void, which does not yield; or 0
  arg: usize;
  waiter: WaitQueue;
}

@unmanaged
export class FsDriver {
  progressNs: u64; // when the device last completed something
  warnedNs: u64; // when its silence was last reported
  restartNs: u64; // no restart of a failed device before this
  live: bool; // from DRIVER_OK to its failure
  device: VirtioDevice;
  hiprio: VirtQueue;
  queues: usize; // an array of request queues
  queueCount: u32;
  dataSegments: u32; // data buffers that a request may have
  requestsMax: u32; // that may be in flight
  nextDriver: FsDriver | null;
  tag: usize;
  tagBytes: u32;
  /** Argument of both handlers; 0 until somebody uses the device. */
  owner: usize;
  onInterrupt: u32; // called after an interrupt was handled
  onFailure: u32; // called after all requests of a failed device have ended
}

/** Gives the device to `owner`, whose handlers the driver calls with it. They do not yield. */
export function attach(driver: FsDriver, owner: usize, onInterrupt: u32, onFailure: u32): void {
  assert(driver.owner == 0 && owner != 0, "fs: done twice");
  driver.owner = owner;
  driver.onInterrupt = onInterrupt;
  driver.onFailure = onFailure;
}
