// FUSE requests: prepare() describes one, transact() sends it and checks the reply before anybody
// believes it.
//
//   const input = prepare(request, FuseOpcode.READ, nodeid, FuseReadIn.sizeof);
//   store<u64>(input, fh, FuseReadIn.fh); // arguments are zero before
//   attachBuffer(request, buffer, bytes, false); // a reply of fixed size: request.replyBytes = ...
//   const got = transact(request);
import { ERRNO_MAX, Errno } from "../../abi/errno";
import { FuseInHeader, FuseOpcode, FuseOutHeader } from "../../abi/fuse";
import { submit, waitForEnd } from "../../drivers/fs/submit";
import { IoVec } from "../iovec";
import {
  ARGUMENT_BYTES_MAX,
  argumentsOf,
  bufferOf,
  FuseRequest,
  NODEID_VOID,
  REPLY_BYTES_MAX,
} from "./session";

/**
 * Begins the description of a request with `argumentBytes` of arguments, an empty reply and no
 * data. Returns where the arguments are; they are zeroed, so that no field is forgotten.
 */
export function prepare(
  request: FuseRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
): usize {
  assert(request.held && !request.transfer.inFlight, "fs: in flight");
  assert(argumentBytes <= ARGUMENT_BYTES_MAX, "fs: too long");
  request.opcode = opcode;
  request.nodeid = nodeid;
  request.argumentBytes = argumentBytes;
  request.replyBytes = 0;
  request.transfer.segments = 0;
  request.transfer.sends = false;
  const input = argumentsOf(request);
  memory.fill(input, 0, argumentBytes);
  return input;
}

/**
 * Attaches up to driver.dataSegments buffers, none of them empty. If `sends`, the device reads them
 * after the arguments; otherwise the reply consists of up to as many bytes, which go there. Until
 * transact() the vector must not change.
 */
export function attachVector(
  request: FuseRequest,
  vector: usize,
  segments: u32,
  sends: bool,
): void {
  assert(segments <= request.session.driver.dataSegments, "fs: too many");
  const transfer = request.transfer;
  transfer.vector = vector;
  transfer.segments = segments;
  transfer.sends = sends;
}

export function attachBuffer(request: FuseRequest, base: usize, length: u32, sends: bool): void {
  const buffer = bufferOf(request);
  buffer.base = base;
  buffer.length = length;
  attachVector(request, changetype<usize>(buffer), 1, sends);
}

/**
 * Sends the request and waits for the reply. Yields unless the device answers at once; the caller
 * is shielded. Returns the bytes of the reply or -Errno. The description stays, to be sent again.
 */
export function transact(request: FuseRequest): i32 {
  post(request);
  const transfer = request.transfer;
  if (transfer.inFlight) {
    waitForEnd(request.session.driver, transfer);
    request.result = checkReply(request);
  }
  return request.result;
}

/** As transact(), without waiting. Does not yield. */
export function post(request: FuseRequest): void {
  assert(request.replyBytes <= REPLY_BYTES_MAX, "fs: too long");
  if (request.nodeid == NODEID_VOID) {
    request.result = -Errno.ESTALE;
    return;
  }
  const transfer = request.transfer;
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < transfer.segments; i++) {
    bytes += changetype<IoVec>(transfer.vector + i * offsetof<IoVec>()).length;
  }
  const headBytes = <u32>FuseInHeader.sizeof + request.argumentBytes;
  request.unique = ++request.session.unique;
  request.dataBytes = transfer.sends ? 0 : bytes;
  putHeader(
    transfer.head,
    transfer.sends ? headBytes + bytes : headBytes,
    request.opcode,
    request.unique,
    request.nodeid,
  );
  transfer.headBytes = headBytes;
  transfer.replyBytes = <u32>FuseOutHeader.sizeof + request.replyBytes;
  submit(request.session.driver, transfer);
  if (!transfer.inFlight) request.result = checkReply(request);
}

/** Is it still unanswered? */
export function isInFlight(request: FuseRequest): bool {
  return request.transfer.inFlight;
}

export function putHeader(
  at: usize,
  bytes: u32,
  opcode: FuseOpcode,
  unique: u64,
  nodeid: u64,
): void {
  memory.fill(at, 0, FuseInHeader.sizeof);
  store<u32>(at, bytes, FuseInHeader.len);
  store<u32>(at, opcode, FuseInHeader.opcode);
  store<u64>(at, unique, FuseInHeader.unique);
  store<u64>(at, nodeid, FuseInHeader.nodeid);
}

/** The bytes of the reply after its header, or -Errno; -EIO for a reply that contradicts itself. */
function checkReply(request: FuseRequest): i32 {
  assert(!request.transfer.inFlight, "fs: in flight");
  const used = request.transfer.result;
  if (used < 0) return used;
  const header = request.transfer.reply;
  if (used < FuseOutHeader.sizeof) return -Errno.EIO;
  if (load<u32>(header, FuseOutHeader.len) != <u32>used) return -Errno.EIO;
  if (load<u64>(header, FuseOutHeader.unique) != request.unique) return -Errno.EIO;
  const bytes = <u32>used - <u32>FuseOutHeader.sizeof;
  const error = load<i32>(header, FuseOutHeader.error);
  if (error != 0) return error > 0 || error < -ERRNO_MAX || bytes != 0 ? -Errno.EIO : error;
  const fits = request.dataBytes != 0 ? bytes <= request.dataBytes : bytes == request.replyBytes;
  return fits ? bytes : -Errno.EIO;
}
