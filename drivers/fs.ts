// virtio-fs driver (virtio 5.11): carries FUSE requests to the device and checks every reply before
// anybody believes it. A request is answered inside the kick as a rule, so the used ring is looked
// at before a thread sleeps.
import { ERRNO_MAX, Errno } from "./abi/errno";
import {
  FS_QUEUE_HIPRIO,
  FS_QUEUE_REQUEST,
  FS_TAG_BYTES_MAX,
  FsConfig,
  FUSE_NAME_BYTES_MAX,
  FuseEntryOut,
  FuseInHeader,
  FuseOpcode,
  FuseOutHeader,
} from "./abi/fuse";
import { INTERRUPT_CONFIG_CHANGE, VIRTIO_F_INDIRECT_DESC } from "./abi/virtio";
import { nowNs, NS_PER_S } from "../kernel/clock";
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem } from "../kernel/memory";
import { wait, wakeAll, wakeSome } from "../kernel/scheduler";
import { WaitQueue } from "../kernel/thread";
import {
  allocateBatches,
  BATCHES_MAX,
  dropForgotten,
  Forgotten,
  freeBatch,
  sendForgotten,
} from "./forget";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

/** Requests in flight; further callers wait. */
export const REQUESTS_MAX: u32 = 64;
const SEGMENTS_MAX: u32 = 3; // header and arguments; header and reply of fixed size; data
/** A device that is silent for so long is given up. */
const TIMEOUT_NS: u64 = 5 * NS_PER_S;

const enum RequestState {
  Free, // in the pool, or held by a caller before it asks
  InFlight, // the device has it
  Detached, // the device has it, and nobody waits: back to the pool
  Done, // `result` counts
}

/** One request and its reply; a caller holds it through a whole call, for one request at a time. */
@unmanaged
export class FsRequest {
  unique: u64; // of the request in flight
  next: FsRequest | null; // in the pool
  driver: FsDriver;
  state: RequestState;
  result: i32; // bytes of reply, or -Errno
  replyBytes: u32; // what the reply must have, unless it goes to a data buffer
  dataBytes: u32; // what it may have in the data buffer
  /** The kernel's: the node that the call stands at, and memory that it needs until its end. */
  node: usize;
  scratch: usize;
  /** The kernel's: the attributes of `node` came in this call. */
  fresh: bool;
}

// Embedded parts, by offset.
const WAITER: usize = offsetof<FsRequest>();
const IN: usize = (WAITER + offsetof<WaitQueue>() + 7) & ~7;
/** Room at argumentsOf(). */
export const ARGUMENT_BYTES_MAX: u32 = (FUSE_NAME_BYTES_MAX + 8) & ~7;
const IN_BYTES: usize = FuseInHeader.sizeof + ARGUMENT_BYTES_MAX;
const OUT: usize = IN + IN_BYTES;
const OUT_BYTES: usize = FuseOutHeader.sizeof + FuseEntryOut.sizeof;

@unmanaged
export class FsDriver {
  unique: u64;
  progressNs: u64; // when the device last did anything
  device: VirtioDevice;
  hiprio: VirtQueue;
  queue: VirtQueue;
  nextDriver: FsDriver | null;
  /** The kernel's: the FUSE session on this device, 0 before it is mounted. */
  session: usize;
  tag: usize;
  tagBytes: u32;
  requests: usize; // addresses of all requests
  allocated: u32; // how many there are
  requestsMax: u32;
  firstFree: FsRequest | null;
  space: WaitQueue; // who waits for a request, or for a batch
  firstForgotten: Forgotten | null;
  lastForgotten: Forgotten | null;
  forgotten: u32;
  freeBatches: usize; // a list, linked by the first word
}

let firstDriver: FsDriver | null = null;

/** Brings the device up. Returns 0 or -ENODEV, -ENOMEM, -EBUSY; then the device has FAILED. */
export function fsInit(device: VirtioDevice): i32 {
  const driver = changetype<FsDriver>(ToroAllocMem(offsetof<FsDriver>()));
  if (changetype<usize>(driver) == 0) return -Errno.ENOMEM;
  driver.device = device;
  driver.hiprio = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.queue = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.space = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  driver.requests = ToroAllocMem(REQUESTS_MAX * sizeof<usize>());
  driver.tag = ToroAllocMem(FS_TAG_BYTES_MAX);

  let status = device.begin(0);
  if (status == 0) status = device.addQueue(driver.hiprio, FS_QUEUE_HIPRIO, BATCHES_MAX, 0);
  if (status == 0) {
    status = device.addQueue(driver.queue, FS_QUEUE_REQUEST, REQUESTS_MAX, SEGMENTS_MAX);
  }
  if (status == 0) status = readConfiguration(driver);
  if (status == 0) status = allocateBatches(driver);
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (status == 0 && !registerInterrupt(device.irq, handler, changetype<usize>(driver))) {
    status = -Errno.EBUSY;
  }
  if (status < 0) {
    device.fail();
    return status;
  }
  driver.nextDriver = firstDriver;
  firstDriver = driver;
  driver.hiprio.enableInterrupts();
  driver.queue.enableInterrupts();
  device.driverOk();
  return 0;
}

/** 5.11.4: the tag ends at its first NUL, or at 36 bytes. */
function readConfiguration(driver: FsDriver): i32 {
  const device = driver.device;
  if (device.readConfig32(FsConfig.num_request_queues) == 0) return -Errno.ENODEV;
  while (driver.tagBytes < <u32>FS_TAG_BYTES_MAX) {
    const byte = device.readConfig8(FsConfig.tag + driver.tagBytes);
    if (byte == 0) break;
    store<u8>(driver.tag + driver.tagBytes++, byte);
  }
  // A chain may not be longer than the queue, not even an indirect one (2.7.5.3.1).
  const size = driver.queue.size;
  if (size < SEGMENTS_MAX) return -Errno.ENODEV;
  // No more requests than the ring holds, so that adding one never fails.
  driver.requestsMax = device.has(VIRTIO_F_INDIRECT_DESC) ? size : size / SEGMENTS_MAX;
  return 0;
}

/** The device with that tag, or null. */
export function findFsDriver(tag: usize, tagBytes: u32): FsDriver | null {
  let driver = firstDriver;
  while (driver) {
    if (driver.tagBytes == tagBytes && memory.compare(driver.tag, tag, tagBytes) == 0) break;
    driver = driver.nextDriver;
  }
  return driver;
}

function waiterOf(request: FsRequest): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(request) + WAITER);
}

/**
 * Where the arguments go: the first `bytes` of it are zeroed here, so that no field is forgotten.
 */
export function argumentsOf(request: FsRequest, bytes: u32): usize {
  const at = changetype<usize>(request) + IN + FuseInHeader.sizeof;
  memory.fill(at, 0, bytes);
  return at;
}

/** Where a reply of fixed size is. */
export function replyOf(request: FsRequest): usize {
  return changetype<usize>(request) + OUT + FuseOutHeader.sizeof;
}

/**
 * Takes a request out of the pool, waiting for one while all are busy. Yields. Null: the device has
 * failed, or there is no memory. releaseRequest gives it back.
 */
export function acquireRequest(driver: FsDriver): FsRequest | null {
  while (!driver.device.failed) {
    const free = driver.firstFree;
    if (free) {
      driver.firstFree = free.next;
      return free;
    }
    const made = makeRequest(driver);
    if (made || driver.allocated == 0) return made;
    waitForProgress(driver);
  }
  return null;
}

function makeRequest(driver: FsDriver): FsRequest | null {
  if (driver.allocated == driver.requestsMax) return null;
  const request = changetype<FsRequest>(ToroAllocMem(OUT + OUT_BYTES));
  if (changetype<usize>(request) == 0) return null;
  request.driver = driver;
  store<usize>(driver.requests + driver.allocated++ * sizeof<usize>(), changetype<usize>(request));
  return request;
}

/** Waits until the device has done something; gives it up when it has not for too long. Yields. */
export function waitForProgress(driver: FsDriver): void {
  const since = nowNs();
  if (wait(driver.space, since + TIMEOUT_NS) == 0) return;
  drain(driver);
  if (driver.progressNs < since) giveUp(driver);
}

/** Gives a request back; one that is in flight goes to the pool when the device has answered it. */
export function releaseRequest(request: FsRequest): void {
  if (request.state == RequestState.InFlight) request.state = RequestState.Detached;
  else recycle(request);
}

function recycle(request: FsRequest): void {
  const driver = request.driver;
  request.state = RequestState.Free;
  request.next = driver.firstFree;
  driver.firstFree = request;
  wakeSome(driver.space, 1);
}

/**
 * Sends a request with `argumentBytes` of arguments at argumentsOf(). The reply has exactly
 * `replyBytes` at replyOf(), or, when `data` is not 0, at most `dataBytes` at `data`. Yields unless
 * the device answers at once; the caller is shielded. Returns the bytes of the reply or -Errno.
 */
export function transact(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  data: usize,
  dataBytes: u32,
): i32 {
  post(request, opcode, nodeid, argumentBytes, replyBytes, data, dataBytes);
  if (request.state == RequestState.InFlight) waitForReply(request);
  return request.result;
}

/** As transact(), without waiting: isInFlight() tells whether it was not answered at once. */
export function post(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  data: usize,
  dataBytes: u32,
): void {
  const driver = request.driver;
  request.state = RequestState.Done;
  request.result = -Errno.EIO;
  if (driver.device.failed) return;
  const header = changetype<usize>(request) + IN;
  const bytes = <u32>FuseInHeader.sizeof + argumentBytes;
  request.unique = ++driver.unique;
  request.replyBytes = replyBytes;
  request.dataBytes = dataBytes;
  putHeader(header, bytes, opcode, request.unique, nodeid);
  const queue = driver.queue;
  queue.begin(data == 0 ? 2 : 3);
  queue.readable(header, bytes);
  queue.writable(changetype<usize>(request) + OUT, <u32>FuseOutHeader.sizeof + replyBytes);
  if (data != 0) queue.writable(data, dataBytes);
  request.state = RequestState.InFlight;
  queue.add(changetype<usize>(request));
  queue.kick();
  drain(driver);
  // Somebody has to notice the answer if it comes later.
  if (request.state == RequestState.InFlight && queue.enableInterrupts()) drain(driver);
}

/** Has the device got it, with its buffers? */
export function isInFlight(request: FsRequest): bool {
  return request.state == RequestState.InFlight;
}

export function putHeader(at: usize, bytes: u32, opcode: u32, unique: u64, nodeid: u64): void {
  memory.fill(at, 0, FuseInHeader.sizeof);
  store<u32>(at, bytes, FuseInHeader.len);
  store<u32>(at, opcode, FuseInHeader.opcode);
  store<u64>(at, unique, FuseInHeader.unique);
  store<u64>(at, nodeid, FuseInHeader.nodeid);
}

function waitForReply(request: FsRequest): void {
  const driver = request.driver;
  const until = nowNs() + TIMEOUT_NS;
  while (request.state == RequestState.InFlight) {
    if (wait(waiterOf(request), until) == 0) continue;
    drain(driver);
    if (request.state == RequestState.InFlight) giveUp(driver);
  }
}

/** Takes what the device has used, from both queues. Does not yield. */
export function drain(driver: FsDriver): void {
  const queue = driver.queue;
  for (let token = queue.take(); token != 0; token = queue.take()) {
    const request = changetype<FsRequest>(token);
    driver.progressNs = nowNs();
    request.result = checkReply(request, queue.usedBytes);
    settle(request);
  }
  const hiprio = driver.hiprio;
  for (let batch = hiprio.take(); batch != 0; batch = hiprio.take()) {
    driver.progressNs = nowNs();
    freeBatch(driver, batch);
    wakeSome(driver.space, u32.MAX_VALUE);
  }
  if (driver.device.failed) abandon(driver);
}

/** The reply's bytes behind its header, or -Errno. What it says about itself must be the truth. */
function checkReply(request: FsRequest, usedBytes: u32): i32 {
  const header = changetype<usize>(request) + OUT;
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

/** The device answers no more. After its reset it touches no buffer. */
function giveUp(driver: FsDriver): void {
  driver.device.fail();
  abandon(driver);
}

/** Ends all that a failed device had. */
function abandon(driver: FsDriver): void {
  for (let i: u32 = 0; i < driver.allocated; i++) {
    const request = changetype<FsRequest>(load<usize>(driver.requests + i * sizeof<usize>()));
    if (request.state != RequestState.InFlight && request.state != RequestState.Detached) continue;
    request.result = -Errno.EIO;
    settle(request);
  }
  dropForgotten(driver);
  wakeSome(driver.space, u32.MAX_VALUE);
}

function onInterrupt(arg: usize): void {
  const driver = changetype<FsDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0 && device.needsReset()) return giveUp(driver);
  do {
    drain(driver);
    if (device.failed) return;
  } while (driver.queue.enableInterrupts() || driver.hiprio.enableInterrupts());
  sendForgotten(driver);
}
