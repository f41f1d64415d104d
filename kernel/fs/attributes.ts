// File calls that change attributes, or ask about rights and free space.
import { Errno } from "../../abi/errno";
import {
  FUSE_R_OK,
  FUSE_W_OK,
  FUSE_X_OK,
  FuseAccessIn,
  FuseOpcode,
  FuseStatfsOut,
} from "../../abi/fuse";
import { FuseSetattrIn, FuseSetattrValid } from "../../abi/fuse-write";
import { prepare, transact } from "../fuse/request";
import { hasFailed, replyOf } from "../fuse/session";
import { nowNs, NS_PER_S } from "../clock";
import { beginCall, Call, callAt, endCall } from "./call";
import { beginUse, endUse, fileOf, fsOf, isWritable, NO_FILE } from "./file";
import { findMount, restAfter } from "./mount";
import { NO_NODE } from "./node";
import { prepareSetattr, resize, sendSetattr } from "./nodeattributes";
import { beginPath, isStale, refuse } from "./path";
import { FileSystemStat } from "./stat";
import { findCached, Walk } from "./walk";

/** For SysSetTimes, in place of a time. */
export const TIME_NOW: i64 = i64.MIN_VALUE;
export const TIME_OMIT: i64 = i64.MIN_VALUE + 1;
/** For SysSetOwner: no change. */
export const OWNER_OMIT: u32 = 0xffff_ffff;
/** For SysAccessFile. */
export const F_OK: u32 = 0;
export const X_OK: u32 = 1;
export const W_OK: u32 = 2;
export const R_OK: u32 = 4;
const MODE_BITS: u32 = 0o7777;

/**
 * Shortens the file at the path to `size` bytes, or extends it with zeros; symbolic links are
 * followed. Yields. Returns 0; -EINVAL (not a file, or no such size), -EISDIR, -EROFS, -EFBIG,
 * -ENOSPC, or an error as of SysStatFile.
 */
export function SysTruncateFile(path: usize, pathBytes: u32, size: u64): i32 {
  if (<i64>size < 0) return -Errno.EINVAL;
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const status = resize(call.request, call.node, size);
  endCall(call);
  return status;
}

/** As SysTruncateFile for an open file, whose position stays. -EBADF, -EINVAL (not for writing). */
export function SysTruncateOpenFile(file: i32, size: u64): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  if (<i64>size < 0 || !isWritable(f)) return -Errno.EINVAL;
  beginUse(f);
  const begun = beginCall(fsOf(f));
  let status = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    const input = prepareSetattr(call.request, f.node);
    // U19: by the handle, for a file that may have no name any more.
    const valid: u32 = (1 << FuseSetattrValid.SIZE) | (1 << FuseSetattrValid.FH);
    store<u32>(input, valid, FuseSetattrIn.valid);
    store<u64>(input, f.fh, FuseSetattrIn.fh);
    store<u64>(input, size, FuseSetattrIn.size);
    status = sendSetattr(call.request, f.node);
    endCall(call);
  }
  endUse(f);
  return status;
}

/**
 * Sets the permissions of the file at the path to the lower 12 bits of `mode`; symbolic links are
 * followed. Yields. Returns 0, -EPERM, -EROFS or an error as of SysStatFile.
 */
export function SysSetMode(path: usize, pathBytes: u32, mode: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const input = prepareSetattr(call.request, call.node);
  store<u32>(input, 1 << FuseSetattrValid.MODE, FuseSetattrIn.valid);
  store<u32>(input, mode & MODE_BITS, FuseSetattrIn.mode);
  const status = sendSetattr(call.request, call.node);
  endCall(call);
  return status;
}

/**
 * Sets owner and group of the file at the path, but not those that are OWNER_OMIT; symbolic links
 * are followed. The host clears set-user-ID. Yields. Returns as SysSetMode.
 */
export function SysSetOwner(path: usize, pathBytes: u32, uid: u32, gid: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const input = prepareSetattr(call.request, call.node);
  let valid: u32 = 0;
  if (uid != OWNER_OMIT) valid |= 1 << FuseSetattrValid.UID;
  if (gid != OWNER_OMIT) valid |= 1 << FuseSetattrValid.GID;
  store<u32>(input, valid, FuseSetattrIn.valid);
  store<u32>(input, uid, FuseSetattrIn.uid);
  store<u32>(input, gid, FuseSetattrIn.gid);
  const status = valid == 0 ? 0 : sendSetattr(call.request, call.node);
  endCall(call);
  return status;
}

/**
 * Sets when the file at the path was last read and written, in nanoseconds since 1970 (negative
 * before it), TIME_NOW or TIME_OMIT; symbolic links are followed. The host rounds times that it
 * cannot store exactly. Yields. Returns as SysSetMode.
 */
export function SysSetTimes(path: usize, pathBytes: u32, atimeNs: i64, mtimeNs: i64): i32 {
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const input = prepareSetattr(call.request, call.node);
  let valid: u32 = 0;
  if (atimeNs != TIME_OMIT) valid |= 1 << FuseSetattrValid.ATIME;
  if (mtimeNs != TIME_OMIT) valid |= 1 << FuseSetattrValid.MTIME;
  if (atimeNs == TIME_NOW) valid |= 1 << FuseSetattrValid.ATIME_NOW;
  if (mtimeNs == TIME_NOW) valid |= 1 << FuseSetattrValid.MTIME_NOW;
  store<u32>(input, valid, FuseSetattrIn.valid);
  store<i64>(input, secondsOf(atimeNs), FuseSetattrIn.atime);
  store<i64>(input, secondsOf(mtimeNs), FuseSetattrIn.mtime);
  store<u32>(input, restOf(atimeNs), FuseSetattrIn.atimensec);
  store<u32>(input, restOf(mtimeNs), FuseSetattrIn.mtimensec);
  const status = valid == 0 ? 0 : sendSetattr(call.request, call.node);
  endCall(call);
  return status;
}

/** Whole seconds, rounded down, so that the rest is positive before 1970 too. */
function secondsOf(ns: i64): i64 {
  const seconds = ns / <i64>NS_PER_S;
  return ns % <i64>NS_PER_S < 0 ? seconds - 1 : seconds;
}

function restOf(ns: i64): u32 {
  const rest = ns % <i64>NS_PER_S;
  const up = rest < 0 ? rest + <i64>NS_PER_S : rest;
  assert(secondsOf(ns) * <i64>NS_PER_S + up == ns, "fs: time");
  return <u32>up;
}

/**
 * May the host's process access the file at the path: for R_OK, W_OK and X_OK together; or does it
 * exist (F_OK)? Symbolic links are followed. The host's answer is cached for as long as the
 * attributes are valid, so calls after SysStatFile ask the device once for each time that the
 * attributes are fetched. Yields, unless it is cached. Returns 0, -EACCES,
 * -EINVAL (no such right), -EROFS or an error as of SysStatFile.
 */
export function SysAccessFile(path: usize, pathBytes: u32, mask: u32): i32 {
  if (mask > (R_OK | W_OK | X_OK)) return -Errno.EINVAL;
  const end = path + pathBytes;
  const mount = findMount(path, end);
  const refused = refuse(mount, pathBytes);
  if (refused < 0) return refused;
  if (!hasFailed(mount.fs.session)) {
    const now = nowNs();
    const known = findCached(mount.fs, restAfter(mount, path, end), end, now);
    if (known != NO_NODE && known.nodeid != 0 && known.attrUntilNs > now) {
      if ((known.granted & mask) == mask) return 0;
      if ((known.asked & ~known.granted & mask) != 0) return -Errno.EACCES;
    }
  }
  const status = askAt(path, pathBytes, mask);
  return isStale(status) ? askAt(path, pathBytes, mask) : status;
}

function askAt(path: usize, pathBytes: u32, mask: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const status = mask == F_OK ? 0 : askForRights(call, mask);
  endCall(call);
  return status;
}

/** Asks for rights on the node where the call is. Yields. */
function askForRights(call: Call, mask: u32): i32 {
  if (R_OK != FUSE_R_OK || W_OK != FUSE_W_OK || X_OK != FUSE_X_OK) ERROR("fs: rights");
  assert(mask != 0 && mask <= 7, "fs: empty");
  const node = call.node;
  const version = node.fs.version;
  const untilNs = node.attrUntilNs;
  const input = prepare(call.request, FuseOpcode.ACCESS, node.nodeid, FuseAccessIn.sizeof);
  store<u32>(input, mask, FuseAccessIn.mask);
  let status = transact(call.request);
  if (status == -Errno.ENOSYS) status = 0; // a server without rights
  // With newer attributes the answer may be another one.
  if (version != node.fs.version || untilNs != node.attrUntilNs) return status;
  if (status == 0) node.granted |= <u8>mask;
  // With several rights it is not known which one is missing.
  if (status == 0 || (status == -Errno.EACCES && popcnt(mask) == 1)) node.asked |= <u8>mask;
  return status;
}

/**
 * Fills the FileSystemStat at `stat` for the file system that the path is on. Yields. Returns 0 or
 * an error as of SysStatFile.
 */
export function SysStatFileSystem(path: usize, pathBytes: u32, stat: usize): i32 {
  const begun = beginPath(path, pathBytes, Walk.Follow);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const request = call.request;
  prepare(request, FuseOpcode.STATFS, call.node.nodeid, 0);
  request.replyBytes = FuseStatfsOut.sizeof;
  const got = transact(request);
  if (got >= 0) fill(changetype<FileSystemStat>(stat), replyOf(request));
  endCall(call);
  return got < 0 ? got : 0;
}

function fill(to: FileSystemStat, from: usize): void {
  to.blocks = load<u64>(from, FuseStatfsOut.blocks);
  to.freeBlocks = load<u64>(from, FuseStatfsOut.bfree);
  to.availableBlocks = load<u64>(from, FuseStatfsOut.bavail);
  to.files = load<u64>(from, FuseStatfsOut.files);
  to.freeFiles = load<u64>(from, FuseStatfsOut.ffree);
  to.blockBytes = load<u32>(from, FuseStatfsOut.frsize);
  to.nameBytesMax = load<u32>(from, FuseStatfsOut.namelen);
}
