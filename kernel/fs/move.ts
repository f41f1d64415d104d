// Data between an open file and the caller's own buffers, by READ and WRITE: what a call has
// returned of a write, the host has.
import { Errno } from "../../abi/errno";
import { FuseOpcode, FuseReadIn } from "../../abi/fuse";
import { FuseWriteIn, FuseWriteOut } from "../../abi/fuse-write";
import { argumentsOf, bufferOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { transactVector } from "../../drivers/fs/transact";
import { IoVec, VECTOR_MAX } from "../iovec";
import {
  appends,
  beginUse,
  endUse,
  isOutside,
  isReadable,
  isWritable,
  markChanged,
  OpenFile,
  refresh,
  sessionOf,
} from "./file";
import { statOf } from "./node";
import { beginCall, callError, endCall } from "./request";

/** What one call may move. */
export const LENGTH_MAX: u32 = 0x7fff_ffff;

/** The buffers of one request. */
const parts: usize = memory.data(16 * 8);

/**
 * Reads or writes `length` bytes at `offset`: those of a vector with `base` entries, or without one
 * those at `base`. Yields. Returns bytes or an error; `advance` moves the position behind them.
 */
export function move(
  f: OpenFile,
  vector: usize,
  base: usize,
  length: u32,
  offset: u64,
  advance: bool,
  writes: bool,
): i32 {
  if (!(writes ? isWritable(f) : isReadable(f))) return -Errno.EBADF;
  if (length > LENGTH_MAX || <i64>offset < 0) return -Errno.EINVAL;
  const appending = writes && appends(f);
  if (!appending && isTooFar(offset, length)) return writes ? -Errno.EFBIG : -Errno.EINVAL;
  if (vector == 0 && isOutside(base, length)) return -Errno.EFAULT;
  if (length == 0) return 0;
  beginUse(f);
  const session = sessionOf(f);
  const request = beginCall(session);
  let got = request ? 0 : callError(session);
  if (request) {
    if (appending) {
      got = refresh(request, f);
      offset = statOf(f.node).size;
      if (got == 0 && isTooFar(offset, length)) got = -Errno.EFBIG;
    }
    const from = vector == 0 ? bufferOf(request, base, length) : vector;
    const entries = vector == 0 ? 1 : <u32>base;
    if (got == 0) got = transfer(request, f, from, entries, offset, writes);
    // The host appends where its end is by then, which may be further on than was known here.
    if (got > 0 && appending && advance && refresh(request, f) == 0) {
      offset = max(offset, statOf(f.node).size - got);
    }
    if (got > 0 && advance) f.position = offset + got;
    endCall(request);
  }
  endUse(f);
  return got;
}

/** Does that end behind the end of what a file can be? */
function isTooFar(offset: u64, length: u32): bool {
  return offset > <u64>i64.MAX_VALUE - length;
}

/** In as many requests as the server's limits make of it. Yields. Returns bytes or an error. */
function transfer(
  request: FsRequest,
  f: OpenFile,
  vector: usize,
  entries: u32,
  offset: u64,
  writes: bool,
): i32 {
  const most = sessionOf(f).dataBytesMax;
  const segmentsMax = request.driver.dataSegments;
  let done: u32 = 0;
  let i: u32 = 0;
  let used: u32 = 0; // bytes of entry i that are done
  while (i < entries) {
    let segments: u32 = 0;
    let bytes: u32 = 0;
    while (i < entries && segments < segmentsMax && bytes < most) {
      const one = entry(vector, i);
      const rest = max(one.length, used) - used;
      const part = min(rest, most - bytes);
      if (part != 0) {
        entry(parts, segments).base = one.base + used;
        entry(parts, segments++).length = part;
        bytes += part;
        used += part;
      }
      if (part == rest) {
        i++;
        used = 0;
      }
    }
    if (bytes == 0) break;
    const at = offset + done;
    const got = writes
      ? sendWrite(request, f, segments, bytes, at)
      : sendRead(request, f, segments, bytes, at);
    if (got < 0) return done == 0 ? got : <i32>done;
    done += got;
    if (<u32>got < bytes) break; // the end of the file, or of the disk
  }
  return done;
}

function sendRead(request: FsRequest, f: OpenFile, segments: u32, bytes: u32, offset: u64): i32 {
  const input = argumentsOf(request, FuseReadIn.sizeof);
  store<u64>(input, f.fh, FuseReadIn.fh);
  store<u64>(input, offset, FuseReadIn.offset);
  store<u32>(input, bytes, FuseReadIn.size);
  store<u32>(input, f.flags, FuseReadIn.flags);
  const nodeid = f.node.nodeid;
  const head = <u32>FuseReadIn.sizeof;
  return transactVector(request, FuseOpcode.READ, nodeid, head, 0, parts, segments, false);
}

function sendWrite(request: FsRequest, f: OpenFile, segments: u32, bytes: u32, offset: u64): i32 {
  const input = argumentsOf(request, FuseWriteIn.sizeof);
  store<u64>(input, f.fh, FuseWriteIn.fh);
  store<u64>(input, offset, FuseWriteIn.offset);
  store<u32>(input, bytes, FuseWriteIn.size);
  store<u32>(input, f.flags, FuseWriteIn.flags);
  const nodeid = f.node.nodeid;
  const head = <u32>FuseWriteIn.sizeof;
  const reply = <u32>FuseWriteOut.sizeof;
  const opcode = FuseOpcode.WRITE;
  const got = transactVector(request, opcode, nodeid, head, reply, parts, segments, true);
  markChanged(f);
  return got < 0 ? got : moved(request, bytes);
}

/** As move(), for `entries` of a vector at the file's position. Yields. */
export function moveVector(f: OpenFile, vector: usize, entries: u32, writes: bool): i32 {
  if (entries > VECTOR_MAX) return -Errno.EINVAL;
  if (isOutside(vector, entries * <u32>offsetof<IoVec>())) return -Errno.EFAULT;
  let length: u64 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    const one = entry(vector, i);
    if (isOutside(one.base, one.length)) return -Errno.EFAULT;
    length += one.length;
  }
  if (length > LENGTH_MAX) return -Errno.EINVAL;
  return move(f, vector, entries, <u32>length, f.position, true, writes);
}

function entry(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

/** What FuseWriteOut says, if that can be true: some, and no more than was asked for. */
function moved(request: FsRequest, most: u32): i32 {
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return size == 0 || size > most ? -Errno.EIO : size;
}
