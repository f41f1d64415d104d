// File calls that write, or copy, or use several buffers, or wait for the disk. The guest keeps
// nothing back: when a call returns, the host's kernel has the data.
import { Errno } from "../../abi/errno";
import { FuseFsyncIn, FuseOpcode } from "../../abi/fuse";
import {
  FUSE_FSYNC_FDATASYNC,
  FuseCopyFileRangeIn,
  FuseWriteOut,
} from "../../abi/fuse-write";
import { prepare, transact } from "../fuse/request";
import { FuseRequest, replyOf } from "../fuse/session";
import { beginCall, beginSlowCall, callAt, endCall } from "./call";
import {
  appends,
  beginUse,
  endUse,
  fileOf,
  fsOf,
  isReadable,
  isWritable,
  markChanged,
  NO_FILE,
  OpenFile,
  takeStored,
} from "./file";
import { ADVANCES, transferBuffer, transferVector, WRITES } from "./transfer";

/**
 * Writes `length` bytes at the file's position, or at its end if it is open with O_APPEND, straight
 * from `buffer`. Yields. Returns bytes, fewer than asked for when the rest failed; -EBADF (also:
 * not open for writing), -EFAULT, -EINVAL, -EFBIG, -ENOSPC or -EIO. Threads that share a handle use
 * SysWriteFileAt.
 */
export function SysWriteFile(file: i32, buffer: usize, length: u32): i32 {
  const f = fileOf(file);
  return f == NO_FILE
    ? -Errno.EBADF
    : transferBuffer(f, buffer, length, f.position, WRITES | ADVANCES);
}

/** As SysWriteFile, at `offset` unless the file is open with O_APPEND; the position stays. */
export function SysWriteFileAt(file: i32, buffer: usize, length: u32, offset: u64): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : transferBuffer(f, buffer, length, offset, WRITES);
}

/**
 * As SysReadFile, into up to 16 buffers in a row: `vector` is an array of `entries` IoVec. Yields.
 * -EINVAL for more.
 */
export function SysReadVector(file: i32, vector: usize, entries: u32): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  if (f.directory) return -Errno.EISDIR;
  return transferVector(f, vector, entries, 0);
}

/** As SysWriteFile, from up to 16 buffers as for SysReadVector. Yields. */
export function SysWriteVector(file: i32, vector: usize, entries: u32): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : transferVector(f, vector, entries, WRITES);
}

/**
 * Returns when all writes to the file, whoever made them, or the entries of the directory, are on
 * the host's disk. `dataOnly` leaves out attributes that reading does not need. Yields; the host
 * may take minutes, and other calls go on meanwhile. A thread that is killed in it ends when the
 * host has answered. Returns 0, -EBADF, -ENOSPC or -EIO (also: no answer for 5 minutes).
 */
export function SysSyncFile(file: i32, dataOnly: bool): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  beginUse(f);
  const begun = beginSlowCall(fsOf(f));
  let status = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    const request = call.request;
    const opcode = f.directory ? FuseOpcode.FSYNCDIR : FuseOpcode.FSYNC;
    const input = prepare(request, opcode, f.node.nodeid, FuseFsyncIn.sizeof);
    store<u64>(input, f.fh, FuseFsyncIn.fh);
    if (dataOnly) store<u32>(input, FUSE_FSYNC_FDATASYNC, FuseFsyncIn.fsync_flags);
    status = transact(request);
    takeStored(f);
    endCall(call);
  }
  endUse(f);
  return status;
}

/**
 * Copies up to `length` bytes between two open files of one file system, without passing them
 * through the guest; positions stay. Yields. Returns bytes, possibly fewer than asked for, 0 at the
 * end; -EBADF (also: not open for that), -EISDIR, -EXDEV, -EINVAL (also: overlapping ranges of one
 * file), -EFBIG, -ENOSPC or -EIO.
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
  if (fsOf(source) != fsOf(target)) return -Errno.EXDEV;
  if (<i64>fromOffset < 0 || <i64>toOffset < 0) return -Errno.EINVAL;
  if (length == 0) return 0;
  beginUse(source);
  beginUse(target);
  const begun = beginCall(fsOf(source));
  let got = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    // In one request: the server checks for overlap, and decides how much it copies at a time.
    got = sendCopy(call.request, source, fromOffset, target, toOffset, length);
    endCall(call);
  }
  endUse(target);
  endUse(source);
  return got;
}

function sendCopy(
  request: FuseRequest,
  source: OpenFile,
  fromOffset: u64,
  target: OpenFile,
  toOffset: u64,
  length: u32,
): i32 {
  assert(source.node.fs == target.node.fs, "fs: misplaced");
  const bytes = <u32>FuseCopyFileRangeIn.sizeof;
  const input = prepare(request, FuseOpcode.COPY_FILE_RANGE, source.node.nodeid, bytes);
  store<u64>(input, source.fh, FuseCopyFileRangeIn.fh_in);
  store<u64>(input, fromOffset, FuseCopyFileRangeIn.off_in);
  store<u64>(input, target.node.nodeid, FuseCopyFileRangeIn.nodeid_out);
  store<u64>(input, target.fh, FuseCopyFileRangeIn.fh_out);
  store<u64>(input, toOffset, FuseCopyFileRangeIn.off_out);
  store<u64>(input, length, FuseCopyFileRangeIn.len);
  request.replyBytes = FuseWriteOut.sizeof;
  const got = transact(request);
  markChanged(target);
  if (got < 0) return got;
  const size = load<u32>(replyOf(request), FuseWriteOut.size);
  return size > length || size > <u32>i32.MAX_VALUE ? -Errno.EIO : size;
}
