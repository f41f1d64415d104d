// What the parts of the virtio-fs driver share: the driver's and a request's own memory.
import {
  FUSE_NAME_BYTES_MAX,
  FuseEntryOut,
  FuseInHeader,
  FuseOpenOut,
  FuseOutHeader,
} from "../../abi/fuse";
import { FuseRename2In } from "../../abi/fuse-write";
import { NS_PER_S } from "../../kernel/clock";
import { IoVec } from "../../kernel/iovec";
import { WaitQueue } from "../../kernel/thread";
import { VirtioDevice } from "../virtio";
import { VirtQueue } from "../virtqueue";

/** Requests in flight; further callers wait. */
export const REQUESTS_MAX: u32 = 64;
/**
 * After so much silence the device is looked at. That it is silent says nothing: its disk may be
 * slow, and the guest's buffers are its own until it has answered.
 */
export const SILENCE_NS: u64 = 5 * NS_PER_S;
/**
 * Looks, 5 minutes of them, behind which no disk is waited for any more: the device is reset, which
 * gives the buffers back, and comes again. They are counted, and not the time between them, so that
 * a host that was asleep in between is no longer away than one look.
 */
export const LOOKS_MAX: u32 = 60;

/** The number of a node of a session that has ended: nothing is asked about it any more. */
export const NODEID_VOID: u64 = u64.MAX_VALUE;

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

/** A node that the server may forget: the head of the kernel's own record of it. */
@unmanaged
export class Forgotten {
  nextForgotten: Forgotten | null;
  nodeid: u64;
  lookups: u64; // references to give back
}

@unmanaged
export class FsDriver {
  unique: u64;
  progressNs: u64; // when the device last did anything
  toldNs: u64; // when its silence was last told
  restartNs: u64; // a device that was given up is not brought up again before
  restarting: bool;
  live: bool; // between DRIVER_OK and its end
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

/** Who waits for the reply. */
export function waiterOf(request: FsRequest): WaitQueue {
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

/** The request's header, in front of its arguments. */
export function requestHeaderOf(request: FsRequest): usize {
  return changetype<usize>(request) + IN;
}

/** The reply's. */
export function replyHeaderOf(request: FsRequest): usize {
  return changetype<usize>(request) + OUT;
}

/** A vector of that one buffer; the request has room for one. */
export function bufferOf(request: FsRequest, base: usize, length: u32): usize {
  const vector = changetype<usize>(request) + BUFFER;
  changetype<IoVec>(vector).base = base;
  changetype<IoVec>(vector).length = length;
  return vector;
}

export function putHeader(at: usize, bytes: u32, opcode: u32, unique: u64, nodeid: u64): void {
  memory.fill(at, 0, FuseInHeader.sizeof);
  store<u32>(at, bytes, FuseInHeader.len);
  store<u32>(at, opcode, FuseInHeader.opcode);
  store<u64>(at, unique, FuseInHeader.unique);
  store<u64>(at, nodeid, FuseInHeader.nodeid);
}
