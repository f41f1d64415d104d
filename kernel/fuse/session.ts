// A FUSE session as data: what the client knows of one server, and its requests. The file system
// that uses the session is opaque here, and so is the state that it keeps beside each request.
import {
  FUSE_NAME_BYTES_MAX,
  FuseEntryOut,
  FuseInHeader,
  FuseOpcode,
  FuseOpenOut,
  FuseOutHeader,
} from "../../abi/fuse";
import { FuseRename2In } from "../../abi/fuse-write";
import { FsDriver, FsRequest } from "../../drivers/fs/driver";
import { IoVec } from "../iovec";
import { ToroAllocMem } from "../memory";
import { WaitQueue } from "../thread";

/** The number of a node of a session that has ended: nothing is asked about it any more. */
export const NODEID_VOID: u64 = u64.MAX_VALUE;

/** A node to forget; written over a block of the heap, which belongs to the list from then on. */
@unmanaged
export class Forgotten {
  next: Forgotten | null;
  nodeid: u64;
  lookups: u64; // references to give back
}

/** A BATCH_FORGET. */
@unmanaged
export class Batch {
  session: Session;
  next: Batch | null; // in the list of free ones
  message: FsRequest;
}

@unmanaged
export class Session {
  driver: FsDriver;
  unique: u64; // of the last request
  started: bool; // mounted: INIT was answered once
  restarting: bool;
  dataBytesMax: u32; // of one READ or WRITE
  maps: bool; // the server maps files at offsets that suit the window
  owner: usize; // the file system
  // Requests: a pool that grows to what the device takes.
  roomBytes: u32; // of the owner's, beside each request
  allocated: u32;
  firstFree: FuseRequest | null;
  slow: u32; // held ones that may be answered late
  space: WaitQueue; // threads that wait for a request, a batch or a restart
  slowSpace: WaitQueue; // threads that wait until fewer are slow
  // Nodes to forget, oldest first.
  firstForgotten: Forgotten | null;
  lastForgotten: Forgotten | null;
  forgotten: u32;
  firstBatch: Batch | null; // free ones
}

/** One request and its reply; a thread holds it through a whole call, for one after the other. */
@unmanaged
export class FuseRequest {
  session: Session;
  next: FuseRequest | null; // in the pool
  transfer: FsRequest;
  room: usize; // the owner's, zeroed when the request is made
  held: bool; // not in the pool
  // The request as prepare() and its caller describe it.
  opcode: FuseOpcode;
  nodeid: u64;
  argumentBytes: u32;
  replyBytes: u32; // exactly, after the header; unless data is received
  // As it was sent, and how it ended.
  unique: u64;
  dataBytes: u32; // received at most
  result: i32; // bytes of the reply, or -Errno
}

// Embedded parts, by offset.
export const REQUEST_TRANSFER: usize = (offsetof<FuseRequest>() + 7) & ~7;
export const REQUEST_WAITER: usize = REQUEST_TRANSFER + offsetof<FsRequest>();
const BUFFER: usize = REQUEST_WAITER + offsetof<WaitQueue>();
const IN: usize = (BUFFER + offsetof<IoVec>() + 7) & ~7;
/** Room for arguments: RENAME2 has the most, two names. */
export const ARGUMENT_BYTES_MAX: u32 = FuseRename2In.sizeof + 2 * (FUSE_NAME_BYTES_MAX + 1);
const IN_BYTES: usize = FuseInHeader.sizeof + ARGUMENT_BYTES_MAX;
const OUT: usize = IN + IN_BYTES;
/** Room for a reply: CREATE has the most. */
export const REPLY_BYTES_MAX: u32 = FuseEntryOut.sizeof + FuseOpenOut.sizeof;
const ROOM: usize = OUT + FuseOutHeader.sizeof + REPLY_BYTES_MAX;

/** A request of the session, in nobody's hands yet; null: no memory. */
export function allocateRequest(session: Session): FuseRequest | null {
  if (((IN | ARGUMENT_BYTES_MAX | OUT | ROOM) & 7) != 0) ERROR("fuse: request layout");
  const address = ToroAllocMem(ROOM + session.roomBytes);
  if (address == 0) return null;
  const request = changetype<FuseRequest>(address);
  const transfer = changetype<FsRequest>(address + REQUEST_TRANSFER);
  request.session = session;
  request.transfer = transfer;
  request.room = address + ROOM;
  transfer.waiter = changetype<WaitQueue>(address + REQUEST_WAITER);
  transfer.head = address + IN;
  transfer.reply = address + OUT;
  transfer.arg = address;
  return request;
}

export function argumentsOf(request: FuseRequest): usize {
  return changetype<usize>(request) + IN + FuseInHeader.sizeof;
}

/** The reply, after its header. */
export function replyOf(request: FuseRequest): usize {
  return changetype<usize>(request) + OUT + FuseOutHeader.sizeof;
}

/** Room for a vector of one buffer. */
export function bufferOf(request: FuseRequest): IoVec {
  return changetype<IoVec>(changetype<usize>(request) + BUFFER);
}

/** The device has answered nonsense or nothing: it was reset, and not restarted yet. */
export function hasFailed(session: Session): bool {
  return session.driver.device.failed;
}

/** Data buffers that one request may have. */
export function dataSegmentsOf(session: Session): u32 {
  return session.driver.dataSegments;
}
