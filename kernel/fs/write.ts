// File calls that move data between an open file and several buffers, or to the disk. Nothing is
// kept back in the guest: what a call has returned, the host has.
import { Errno } from "../../abi/errno";
import { FuseFsyncIn, FuseOpcode } from "../../abi/fuse";
import {
  FUSE_FSYNC_FDATASYNC,
  FuseCopyFileRangeIn,
  FuseWriteOut,
} from "../../abi/fuse-write";
import { argumentsOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { transact } from "../../drivers/fs/transact";
import {
  appends,
  beginUse,
  endUse,
  fileOf,
  isReadable,
  isWritable,
  markChanged,
  NO_FILE,
  OpenFile,
  sessionOf,
  takeStored,
} from "./file";
import { move, moveVector } from "./move";
import { beginCall, beginSlowCall, callError, endCall } from "./request";

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
    // All of it: what overlaps is for the server to see, and how much it moves at a time.
    got = sendCopy(request, source, fromOffset, target, toOffset, length);
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
  markChanged(target);
  if (got < 0) return got;
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return size > length || size > <u32>i32.MAX_VALUE ? -Errno.EIO : size;
}
