// File calls that move data between an open file and several buffers, or to the disk. Nothing is
// kept back in the guest: what a call has returned, the host has.
import { Errno } from "../../drivers/abi/errno";
import { FuseFsyncIn, FuseOpcode, FuseReadIn } from "../../drivers/abi/fuse";
import {
  FUSE_FSYNC_FDATASYNC,
  FuseCopyFileRangeIn,
  FuseWriteIn,
  FuseWriteOut,
} from "../../drivers/abi/fuse-write";
import { argumentsOf, bufferOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { transact, transactVector } from "../../drivers/fs/transact";
import { IoVec, VECTOR_MAX } from "../iovec";
import {
  appends,
  beginUse,
  endUse,
  fileOf,
  isOutside,
  isReadable,
  isWritable,
  LENGTH_MAX,
  markChanged,
  NO_FILE,
  OpenFile,
  refresh,
  sessionOf,
  takeStored,
} from "./file";
import { statOf } from "./node";
import { beginCall, beginSlowCall, callError, endCall } from "./request";

/** The buffers of one request. */
const parts: usize = memory.data(16 * 8);

/**
 * Writes `length` bytes at the file's position, or at its end if it is open with O_APPEND, straight
 * from `buffer`. Yields. Returns bytes, fewer than asked for when the rest failed; -EBADF (also:
 * not open for writing), -EFAULT, -EINVAL, -EFBIG, -ENOSPC or -EIO. Threads that share a handle use
 * SysWriteFileAt.
 */
export function SysWriteFile(file: i32, buffer: usize, length: u32): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : move(f, 0, buffer, length, f.position, true, true);
}

/** As SysWriteFile, at `offset` unless the file is open with O_APPEND; the position stays. */
export function SysWriteFileAt(file: i32, buffer: usize, length: u32, offset: u64): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : move(f, 0, buffer, length, offset, false, true);
}

/**
 * As SysReadFile into up to 16 buffers, one behind the other: `vector` is an array of `entries`
 * IoVec. Yields. -EINVAL for more.
 */
export function SysReadVector(file: i32, vector: usize, entries: u32): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  if (f.directory) return -Errno.EISDIR;
  return moveVector(f, vector, entries, false);
}

/** As SysWriteFile from up to 16 buffers, as of SysReadVector. Yields. */
export function SysWriteVector(file: i32, vector: usize, entries: u32): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : moveVector(f, vector, entries, true);
}

function entry(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

function moveVector(f: OpenFile, vector: usize, entries: u32, writes: bool): i32 {
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

/**
 * Reads or writes `length` bytes at `offset`: those of a vector with `base` entries, or without one
 * those at `base`. Yields. Returns bytes or an error; `advance` moves the position behind them.
 */
function move(
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
  return got < 0 ? written(f, got) : written(f, moved(request, bytes));
}

/** What FuseWriteOut says, if that can be true: some, and no more than was asked for. */
function moved(request: FsRequest, most: u32): i32 {
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return size == 0 || size > most ? -Errno.EIO : size;
}

function written(f: OpenFile, result: i32): i32 {
  markChanged(f);
  return result;
}

/**
 * Returns when the host's disk has what was written to the file by anybody, or the entries of the
 * directory; `dataOnly` leaves out what reading it again does not need. Yields; the host may take
 * minutes, and other calls go on meanwhile. A thread that is killed in it ends when the host has
 * answered. Returns 0, -EBADF, -ENOSPC or -EIO: also when there was no answer for 5 minutes.
 */
export function SysSyncFile(file: i32, dataOnly: bool): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  beginUse(f);
  const session = sessionOf(f);
  const request = beginSlowCall(session);
  let status = callError(session);
  if (request) {
    const input = argumentsOf(request, FuseFsyncIn.sizeof);
    store<u64>(input, f.fh, FuseFsyncIn.fh);
    if (dataOnly) store<u32>(input, FUSE_FSYNC_FDATASYNC, FuseFsyncIn.fsync_flags);
    const opcode = f.directory ? FuseOpcode.FSYNCDIR : FuseOpcode.FSYNC;
    status = transact(request, opcode, f.node.nodeid, FuseFsyncIn.sizeof, 0, 0, 0);
    takeStored(f);
    endCall(request);
  }
  endUse(f);
  return status;
}

/**
 * Copies up to `length` bytes between two open files of one file system, without them passing
 * through the guest; positions stay. Yields. Returns bytes, possibly fewer than asked for, 0 at the
 * end; -EBADF (also: not open for that), -EISDIR, -EXDEV, -EINVAL (also: ranges of one file that
 * overlap), -EFBIG, -ENOSPC or -EIO.
 */
export function SysCopyFile(
  from: i32,
  fromOffset: u64,
  to: i32,
  toOffset: u64,
  length: u32,
): i32 {
  const source = fileOf(from);
  const target = fileOf(to);
  if (source == NO_FILE || target == NO_FILE) return -Errno.EBADF;
  if (source.directory || target.directory) return -Errno.EISDIR;
  if (!isReadable(source) || !isWritable(target) || appends(target)) return -Errno.EBADF;
  if (sessionOf(source) != sessionOf(target)) return -Errno.EXDEV;
  if (<i64>fromOffset < 0 || <i64>toOffset < 0) return -Errno.EINVAL;
  if (length == 0) return 0;
  beginUse(source);
  beginUse(target);
  const session = sessionOf(source);
  const request = beginCall(session);
  let got = callError(session);
  if (request) {
    const bytes = min(length, session.dataBytesMax);
    got = sendCopy(request, source, fromOffset, target, toOffset, bytes);
    endCall(request);
  }
  endUse(target);
  endUse(source);
  return got;
}

function sendCopy(
  request: FsRequest,
  source: OpenFile,
  fromOffset: u64,
  target: OpenFile,
  toOffset: u64,
  length: u32,
): i32 {
  const input = argumentsOf(request, FuseCopyFileRangeIn.sizeof);
  store<u64>(input, source.fh, FuseCopyFileRangeIn.fh_in);
  store<u64>(input, fromOffset, FuseCopyFileRangeIn.off_in);
  store<u64>(input, target.node.nodeid, FuseCopyFileRangeIn.nodeid_out);
  store<u64>(input, target.fh, FuseCopyFileRangeIn.fh_out);
  store<u64>(input, toOffset, FuseCopyFileRangeIn.off_out);
  store<u64>(input, length, FuseCopyFileRangeIn.len);
  const nodeid = source.node.nodeid;
  const head = <u32>FuseCopyFileRangeIn.sizeof;
  const reply = <u32>FuseWriteOut.sizeof;
  const got = transact(request, FuseOpcode.COPY_FILE_RANGE, nodeid, head, reply, 0, 0);
  if (got < 0) return written(target, got);
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return written(target, size > length ? -Errno.EIO : size);
}
