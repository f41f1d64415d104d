// Data between an open file and the caller's own buffers, by READ and WRITE. When a write returns
// the host's kernel has the data. Small reads in order come from a buffer (ahead.ts).
import { Errno } from "../../abi/errno";
import { FuseOpcode, FuseReadIn } from "../../abi/fuse";
import { FuseWriteIn, FuseWriteOut } from "../../abi/fuse-write";
import { attachVector, prepare, transact } from "../fuse/request";
import { bufferOf, dataSegmentsOf, FuseRequest, hasFailed, replyOf } from "../fuse/session";
import { IoVec, VECTOR_MAX } from "../iovec";
import {
  beginAhead,
  copyAhead,
  endAhead,
  holdsAhead,
  isFreshAhead,
  isSmall,
  NO_AHEAD,
} from "./ahead";
import { beginCall, Call, callAt, endCall } from "./call";
import {
  appends,
  beginUse,
  endUse,
  fsOf,
  isOutside,
  isReadable,
  isWritable,
  markChanged,
  OpenFile,
  refresh,
  revalidate,
} from "./file";
import { statOf } from "./node";

/** Bytes of one call. */
const LENGTH_MAX: u32 = 0x7fff_ffff;

/** A file is read in order when this many reads have begun where the one before ended. */
const IN_ORDER_LEAST: i32 = 2;
/** Reads before another attempt, when a buffer had become old before it was read to its end. */
const WASTED_READS: i32 = 64;

/** Bits of `how`. */
export const WRITES: u32 = 1;
export const ADVANCES: u32 = 2; // the file's position moves past the bytes

/** The buffers of one request. */
const parts: usize = memory.data(16 * 8);
if (VECTOR_MAX != 16 || offsetof<IoVec>() != 8) ERROR("fs: vector layout");

/** Reads or writes `length` bytes at `offset`. Yields. Returns bytes or an error. */
export function transferBuffer(
  f: OpenFile,
  base: usize,
  length: u32,
  offset: u64,
  how: u32,
): i32 {
  const refused = refuseTransfer(f, length, offset, how);
  if (refused < 0) return refused;
  if (isOutside(base, length)) return -Errno.EFAULT;
  if (length == 0) return 0;
  const isRead = (how & WRITES) == 0;
  if (isRead && isSmall(length) && !hasFailed(fsOf(f).session)) {
    return readSmall(f, base, length, offset, how);
  }
  return transfer(f, base, length, 0, offset, how);
}

/** A read that may come from the file's buffer, and that fills it if the file is read in order. */
function readSmall(f: OpenFile, base: usize, length: u32, offset: u64, how: u32): i32 {
  f.inOrder = offset == f.nextOffset ? f.inOrder + 1 : 0;
  f.nextOffset = offset + length;
  if (holdsAhead(f.ahead, changetype<usize>(f), length, offset)) {
    if (takeAhead(f, base, length, offset, how)) return length;
    f.inOrder = -WASTED_READS;
  }
  if (f.inOrder < IN_ORDER_LEAST) return transfer(f, base, length, 0, offset, how);
  beginUse(f);
  let got: i32 = 0;
  if (fill(f, length, offset) && takeAhead(f, base, length, offset, how)) got = length;
  else got = f.closed ? -Errno.EBADF : transfer(f, base, length, 0, offset, how);
  endUse(f);
  return got;
}

/** Reads bytes that the file's buffer holds. False: they are old. */
function takeAhead(f: OpenFile, base: usize, length: u32, offset: u64, how: u32): bool {
  if (!isFreshAhead(f.ahead, f.node.attrUntilNs, f.node.changes)) return false;
  copyAhead(f.ahead, base, length, offset);
  if ((how & ADVANCES) != 0) f.position = offset + length;
  return true;
}

/** Fills the file's buffer from `offset`. Yields. False: that would be no gain, or has failed. */
function fill(f: OpenFile, length: u32, offset: u64): bool {
  if (revalidate(f) < 0 || f.closed) return false;
  const untilNs = f.node.attrUntilNs;
  const changes = f.node.changes;
  const size = statOf(f.node).size;
  if (offset >= size || size - offset <= length) return false;
  const ahead = beginAhead(f.ahead, changetype<usize>(f));
  if (ahead == NO_AHEAD) return false;
  f.ahead = ahead;
  const wanted = <u32>min<u64>(ahead.bytes, size - offset);
  const got = transfer(f, ahead.base, wanted, 0, offset, 0);
  endAhead(ahead, offset, got, untilNs, changes);
  return holdsAhead(ahead, changetype<usize>(f), length, offset);
}

/** As transferBuffer(), for `entries` of a vector at the file's position, which moves. Yields. */
export function transferVector(f: OpenFile, vector: usize, entries: u32, how: u32): i32 {
  if (entries > VECTOR_MAX) return -Errno.EINVAL;
  if (isOutside(vector, entries * <u32>offsetof<IoVec>())) return -Errno.EFAULT;
  let length: u64 = 0;
  for (let i: u32 = 0; i < entries; i++) {
    const one = entryAt(vector, i);
    if (isOutside(one.base, one.length)) return -Errno.EFAULT;
    length += one.length;
  }
  if (length > LENGTH_MAX) return -Errno.EINVAL;
  const refused = refuseTransfer(f, <u32>length, f.position, how);
  if (refused < 0 || length == 0) return refused;
  return transfer(f, vector, <u32>length, entries, f.position, how | ADVANCES);
}

function refuseTransfer(f: OpenFile, length: u32, offset: u64, how: u32): i32 {
  const writes = (how & WRITES) != 0;
  if (!(writes ? isWritable(f) : isReadable(f))) return -Errno.EBADF;
  if (length > LENGTH_MAX || <i64>offset < 0) return -Errno.EINVAL;
  if (writes && appends(f)) return 0; // the end of the file is not known yet
  if (isTooFar(offset, length)) return writes ? -Errno.EFBIG : -Errno.EINVAL;
  return 0;
}

/** Would the transfer end after the longest possible file? */
function isTooFar(offset: u64, length: u32): bool {
  return offset > <u64>i64.MAX_VALUE - length;
}

function entryAt(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

/**
 * Transfers `length` bytes of a vector with `entries` entries at `base`, or if there are none, of
 * the buffer at `base`. Yields. Returns bytes or an error.
 */
function transfer(
  f: OpenFile,
  base: usize,
  length: u32,
  entries: u32,
  offset: u64,
  how: u32,
): i32 {
  assert(length != 0, "fs: empty");
  const appending = (how & WRITES) != 0 && appends(f);
  beginUse(f);
  const begun = beginCall(fsOf(f));
  let got = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    const request = call.request;
    got = 0;
    if (appending) {
      got = refresh(request, f);
      offset = statOf(f.node).size;
      if (got == 0 && isTooFar(offset, length)) got = -Errno.EFBIG;
    }
    let vector = base;
    if (entries == 0) {
      const buffer = bufferOf(request);
      buffer.base = base;
      buffer.length = length;
      vector = changetype<usize>(buffer);
    }
    if (got == 0) got = transferAll(call, f, vector, max<u32>(entries, 1), offset, how);
    const advances = got > 0 && (how & ADVANCES) != 0;
    // The host appends at the end as it is by then, which may be further than was known here.
    if (advances && appending && refresh(request, f) == 0) {
      offset = max(offset, statOf(f.node).size - got);
    }
    if (advances) f.position = offset + got;
    endCall(call);
  }
  endUse(f);
  return got;
}

/** Transfers in as many requests as the server's limits require. Yields. */
function transferAll(
  call: Call,
  f: OpenFile,
  vector: usize,
  entries: u32,
  offset: u64,
  how: u32,
): i32 {
  let done: u32 = 0;
  call.entry = 0;
  call.entryBytes = 0;
  while (true) {
    const bytes = gather(call, vector, entries);
    if (bytes == 0) break;
    const got = send(call, f, bytes, offset + done, how);
    if (got < 0) return done == 0 ? got : <i32>done;
    assert(<u32>got <= bytes, "fs: too many");
    done += got;
    if (<u32>got < bytes) break; // the end of the file, or of the disk
  }
  return done;
}

/**
 * Gathers in `parts` the buffers of the next request: call.segments of them, taken from the vector
 * where the last request stopped. Returns their bytes.
 */
function gather(call: Call, vector: usize, entries: u32): u32 {
  const session = call.request.session;
  const most = session.dataBytesMax;
  const segmentsMax = dataSegmentsOf(session);
  let segments: u32 = 0;
  let bytes: u32 = 0;
  while (call.entry < entries && segments < segmentsMax && bytes < most) {
    const one = entryAt(vector, call.entry);
    // The caller may change its vector meanwhile.
    const rest = max(one.length, call.entryBytes) - call.entryBytes;
    const part = min(rest, most - bytes);
    if (part != 0) {
      const to = entryAt(parts, segments++);
      to.base = one.base + call.entryBytes;
      to.length = part;
      bytes += part;
      call.entryBytes += part;
    }
    if (part == rest) {
      call.entry++;
      call.entryBytes = 0;
    }
  }
  assert(bytes <= most && segments <= VECTOR_MAX, "fs: too many");
  call.segments = segments;
  return bytes;
}

/** Sends a READ or WRITE of the gathered buffers. Yields. Returns bytes or an error. */
function send(call: Call, f: OpenFile, bytes: u32, offset: u64, how: u32): i32 {
  assert(bytes != 0 && call.segments != 0, "fs: empty");
  const request = call.request;
  const writes = (how & WRITES) != 0;
  if (writes) {
    const input = prepare(request, FuseOpcode.WRITE, f.node.nodeid, FuseWriteIn.sizeof);
    store<u64>(input, f.fh, FuseWriteIn.fh);
    store<u64>(input, offset, FuseWriteIn.offset);
    store<u32>(input, bytes, FuseWriteIn.size);
    store<u32>(input, f.flags, FuseWriteIn.flags);
    request.replyBytes = FuseWriteOut.sizeof;
  } else {
    const input = prepare(request, FuseOpcode.READ, f.node.nodeid, FuseReadIn.sizeof);
    store<u64>(input, f.fh, FuseReadIn.fh);
    store<u64>(input, offset, FuseReadIn.offset);
    store<u32>(input, bytes, FuseReadIn.size);
    store<u32>(input, f.flags, FuseReadIn.flags);
  }
  attachVector(request, parts, call.segments, writes);
  const got = transact(request);
  if (!writes) return got;
  markChanged(f);
  return got < 0 ? got : writtenBytes(request, bytes);
}

/** The size in FuseWriteOut if it can be true: some bytes, and no more than were sent. */
function writtenBytes(request: FuseRequest, most: u32): i32 {
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return size == 0 || size > most ? -Errno.EIO : size;
}
