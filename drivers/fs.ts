// virtio-fs driver (virtio 5.11): carries FUSE requests to the device and checks every reply before
// anybody believes it. A request is answered inside the kick as a rule, so the used ring is looked
// at before a thread sleeps. Of several request queues one is for requests that may be answered
// late.
import { ERRNO_MAX, Errno } from "./abi/errno";
import {
  FS_QUEUE_HIPRIO,
  FS_TAG_BYTES_MAX,
  FsConfig,
  FUSE_NAME_BYTES_MAX,
  FuseEntryOut,
  FuseInHeader,
  FuseOpcode,
  FuseOpenOut,
  FuseOutHeader,
} from "./abi/fuse";
import { FuseRename2In } from "./abi/fuse-write";
import { INTERRUPT_CONFIG_CHANGE } from "./abi/virtio";
import { nowNs, NS_PER_S } from "../kernel/clock";
import { registerInterrupt } from "../kernel/interrupt";
import { IoVec } from "../kernel/iovec";
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
import {
  addRequestQueues,
  enableInterrupts,
  HEADERS,
  lend,
  queueAt,
  queueFor,
  QUEUES_MAX,
  segmentAt,
} from "./fs-queues";
import { isOwed, recycle, requestAt } from "./fs-requests";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

/** Requests in flight; further callers wait. */
export const REQUESTS_MAX: u32 = 64;
/** A device that is silent for so long is given up. */
export const TIMEOUT_NS: u64 = 5 * NS_PER_S;
/**
 * So long may a request take that waits for a disk, whose caches may be large: no silence tells a
 * dead server from a busy one, but any other request does, within TIMEOUT_NS.
 */
const SLOW_TIMEOUT_NS: u64 = 300 * NS_PER_S;

export const enum RequestState {
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
  dataBytes: u32; // what it may have in the data buffers
  slow: bool; // it may be answered late
  /** The kernel's: the node that the call stands at, and memory that it needs until its end. */
  node: usize;
  scratch: usize;
  /** The kernel's: the attributes of `node` came in this call. */
  fresh: bool;
  /** The kernel's: the last name of a path, whose directory `node` is (walk.ts). */
  name: usize;
  nameBytes: u32;
  last: u32;
  slash: bool;
  /** The kernel's: symbolic links followed in this walk. */
  links: u32;
}

// Embedded parts, by offset.
const WAITER: usize = offsetof<FsRequest>();
const BUFFER: usize = WAITER + offsetof<WaitQueue>();
const IN: usize = (BUFFER + offsetof<IoVec>() + 7) & ~7;
/** Room at argumentsOf(): RENAME2 has the most, two names. */
export const ARGUMENT_BYTES_MAX: u32 = FuseRename2In.sizeof + 2 * (FUSE_NAME_BYTES_MAX + 1);
const IN_BYTES: usize = FuseInHeader.sizeof + ARGUMENT_BYTES_MAX;
const OUT: usize = IN + IN_BYTES;
export const REQUEST_BYTES: usize =
  OUT + FuseOutHeader.sizeof + FuseEntryOut.sizeof + FuseOpenOut.sizeof;

@unmanaged
export class FsDriver {
  unique: u64;
  progressNs: u64; // when the device last did anything
  device: VirtioDevice;
  hiprio: VirtQueue;
  queues: usize; // request queues, one behind the other
  queueCount: u32;
  dataSegments: u32; // buffers of data that a request may have
  nextDriver: FsDriver | null;
  /** The kernel's: the FUSE session on this device, 0 before it is mounted. */
  session: usize;
  tag: usize;
  tagBytes: u32;
  requests: usize; // addresses of all requests
  allocated: u32; // how many there are
  requestsMax: u32;
  firstFree: FsRequest | null;
  slow: u32; // requests held by callers that may be answered late
  space: WaitQueue; // who waits for a request, or for a batch
  slowSpace: WaitQueue; // who waits to be one of the slow
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
  driver.queues = ToroAllocMem(QUEUES_MAX * offsetof<VirtQueue>());
  driver.space = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  driver.slowSpace = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  driver.requests = ToroAllocMem(REQUESTS_MAX * sizeof<usize>());
  driver.tag = ToroAllocMem(FS_TAG_BYTES_MAX);

  let status = device.begin(0);
  if (status == 0) status = device.addQueue(driver.hiprio, FS_QUEUE_HIPRIO, BATCHES_MAX, 0);
  if (status == 0) status = readTag(driver);
  if (status == 0) status = addRequestQueues(driver);
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
  enableInterrupts(driver);
  device.driverOk();
  return 0;
}

/** 5.11.4: the tag ends at its first NUL, or at 36 bytes. */
function readTag(driver: FsDriver): i32 {
  while (driver.tagBytes < <u32>FS_TAG_BYTES_MAX) {
    const byte = driver.device.readConfig8(FsConfig.tag + driver.tagBytes);
    if (byte == 0) break;
    store<u8>(driver.tag + driver.tagBytes++, byte);
  }
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

/**
 * As transact(), with up to driver.dataSegments buffers, none of them empty: the device reads them
 * if `sends`, or else what it has to say behind the reply goes there. The vector itself may change
 * from then on.
 */
export function transactVector(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  vector: usize,
  segments: u32,
  sends: bool,
): i32 {
  submit(request, opcode, nodeid, argumentBytes, replyBytes, vector, segments, sends);
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
  const vector = bufferOf(request, data, dataBytes);
  submit(request, opcode, nodeid, argumentBytes, replyBytes, vector, data == 0 ? 0 : 1, false);
}

/** A vector of that one buffer; the request has room for one. */
export function bufferOf(request: FsRequest, base: usize, length: u32): usize {
  const vector = changetype<usize>(request) + BUFFER;
  changetype<IoVec>(vector).base = base;
  changetype<IoVec>(vector).length = length;
  return vector;
}

function submit(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  vector: usize,
  segments: u32,
  sends: bool,
): void {
  const driver = request.driver;
  request.state = RequestState.Done;
  request.result = -Errno.EIO;
  if (driver.device.failed) return;
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < segments; i++) bytes += segmentAt(vector, i).length;
  const header = changetype<usize>(request) + IN;
  const headerBytes = <u32>FuseInHeader.sizeof + argumentBytes;
  request.unique = ++driver.unique;
  request.replyBytes = replyBytes;
  request.dataBytes = sends ? 0 : bytes;
  putHeader(header, sends ? headerBytes + bytes : headerBytes, opcode, request.unique, nodeid);
  const queue = queueFor(driver, request.slow);
  queue.begin(HEADERS + segments);
  queue.readable(header, headerBytes);
  if (sends) lend(queue, vector, segments, true);
  queue.writable(changetype<usize>(request) + OUT, <u32>FuseOutHeader.sizeof + replyBytes);
  if (!sends) lend(queue, vector, segments, false);
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
  const until = nowNs() + (request.slow ? SLOW_TIMEOUT_NS : TIMEOUT_NS);
  while (request.state == RequestState.InFlight) {
    if (wait(waiterOf(request), until) == 0) continue;
    drain(driver);
    if (request.state == RequestState.InFlight) giveUp(driver);
  }
}

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
export function giveUp(driver: FsDriver): void {
  driver.device.fail();
  abandon(driver);
}

/** Ends all that a failed device had. */
function abandon(driver: FsDriver): void {
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

function onInterrupt(arg: usize): void {
  const driver = changetype<FsDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0 && device.needsReset()) return giveUp(driver);
  do {
    drain(driver);
    if (device.failed) return;
  } while (enableInterrupts(driver));
  sendForgotten(driver);
}
