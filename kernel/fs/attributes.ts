// File calls that change attributes, or ask about rights and room.
import { Errno } from "../../abi/errno";
import { FuseAccessIn, FuseOpcode, FuseStatfsOut } from "../../abi/fuse";
import { FuseSetattrIn, FuseSetattrValid } from "../../abi/fuse-write";
import { argumentsOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { transact } from "../../drivers/fs/transact";
import { nowNs, NS_PER_S } from "../clock";
import { beginUse, endUse, fileOf, isWritable, NO_FILE, sessionOf } from "./file";
import { Node, NO_NODE } from "./node";
import { beginPath, isStale, pathError, placeOf } from "./path";
import { beginCall, callError, endCall } from "./request";
import { resize, sendSetattr, setattrArguments } from "./setattr";
import { FileSystemStat } from "./stat";
import { findCached, Walk } from "./walk";

/** For SysSetTimes, in place of a time. */
export const TIME_NOW: i64 = i64.MIN_VALUE;
export const TIME_OMIT: i64 = i64.MIN_VALUE + 1;
/** For SysSetOwner: stays as it is. */
export const OWNER_OMIT: u32 = 0xffff_ffff;
/** For SysAccessFile. */
export const F_OK: u32 = 0;
export const X_OK: u32 = 1;
export const W_OK: u32 = 2;
export const R_OK: u32 = 4;
const MODE_BITS: u32 = 0o7777;

/**
 * Cuts the file at the path to `size` bytes, or lengthens it with zeros; symbolic links are
 * followed. Yields. Returns 0; -EINVAL (not a file, or no such size), -EISDIR, -EROFS, -EFBIG,
 * -ENOSPC, or an error as of SysStatFile.
 */
export function SysTruncateFile(path: usize, pathBytes: u32, size: u64): i32 {
  if (<i64>size < 0) return -Errno.EINVAL;
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const status = resize(request, changetype<Node>(request.node), size);
  endCall(request);
  return status;
}

/** As SysTruncateFile for an open file, whose position stays. -EBADF, -EINVAL (not for writing). */
export function SysTruncateOpenFile(file: i32, size: u64): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  if (<i64>size < 0 || !isWritable(f)) return -Errno.EINVAL;
  beginUse(f);
  const session = sessionOf(f);
  const request = beginCall(session);
  let status = callError(session);
  if (request) {
    const input = setattrArguments(request);
    // U19: by the handle, for a file that may have no name any more.
    const valid: u32 = (1 << FuseSetattrValid.SIZE) | (1 << FuseSetattrValid.FH);
    store<u32>(input, valid, FuseSetattrIn.valid);
    store<u64>(input, f.fh, FuseSetattrIn.fh);
    store<u64>(input, size, FuseSetattrIn.size);
    status = sendSetattr(request, f.node);
    endCall(request);
  }
  endUse(f);
  return status;
}

/**
 * Gives what is at the path other permissions, the lower 12 bits of `mode`; symbolic links are
 * followed. Yields. Returns 0, -EPERM, -EROFS or an error as of SysStatFile.
 */
export function SysSetMode(path: usize, pathBytes: u32, mode: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const input = setattrArguments(request);
  store<u32>(input, 1 << FuseSetattrValid.MODE, FuseSetattrIn.valid);
  store<u32>(input, mode & MODE_BITS, FuseSetattrIn.mode);
  const status = sendSetattr(request, changetype<Node>(request.node));
  endCall(request);
  return status;
}

/**
 * Gives what is at the path another owner and group, OWNER_OMIT for either to stay; symbolic links
 * are followed. The host takes set-user-ID away. Yields. Returns as SysSetMode.
 */
export function SysSetOwner(path: usize, pathBytes: u32, uid: u32, gid: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const input = setattrArguments(request);
  let valid: u32 = 0;
  if (uid != OWNER_OMIT) valid |= 1 << FuseSetattrValid.UID;
  if (gid != OWNER_OMIT) valid |= 1 << FuseSetattrValid.GID;
  store<u32>(input, valid, FuseSetattrIn.valid);
  store<u32>(input, uid, FuseSetattrIn.uid);
  store<u32>(input, gid, FuseSetattrIn.gid);
  const status = valid == 0 ? 0 : sendSetattr(request, changetype<Node>(request.node));
  endCall(request);
  return status;
}

/**
 * Sets when what is at the path was read and written last, in nanoseconds since 1970 (negative
 * before it), TIME_NOW or TIME_OMIT; symbolic links are followed. What the host cannot keep exactly
 * it rounds. Yields. Returns as SysSetMode.
 */
export function SysSetTimes(path: usize, pathBytes: u32, atimeNs: i64, mtimeNs: i64): i32 {
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const input = setattrArguments(request);
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
  const status = valid == 0 ? 0 : sendSetattr(request, changetype<Node>(request.node));
  endCall(request);
  return status;
}

/** Whole seconds, downwards, so that the rest counts upwards before 1970 too. */
function secondsOf(ns: i64): i64 {
  const seconds = ns / <i64>NS_PER_S;
  return ns % <i64>NS_PER_S < 0 ? seconds - 1 : seconds;
}

function restOf(ns: i64): u32 {
  const rest = ns % <i64>NS_PER_S;
  return <u32>(rest < 0 ? rest + <i64>NS_PER_S : rest);
}

/**
 * May the host's process do that with what is at the path: R_OK, W_OK, X_OK together, or F_OK: is
 * it there? Symbolic links are followed. What the host has said of one right is believed as long as
 * the attributes, and costs no request then: who asks behind SysStatFile asks the device once for
 * each time that the attributes are fetched. Yields, unless it is known. Returns 0, -EACCES,
 * -EINVAL (no such right), -EROFS or an error as of SysStatFile.
 */
export function SysAccessFile(path: usize, pathBytes: u32, mask: u32): i32 {
  if (mask > (R_OK | W_OK | X_OK)) return -Errno.EINVAL;
  const place = placeOf(path, pathBytes);
  if (changetype<usize>(place) == 0) return pathError();
  if (!place.session.driver.device.failed) {
    const now = nowNs();
    const known = findCached(place.session, place.rest, path + pathBytes, now);
    if (known != NO_NODE && known.nodeid != 0 && known.attrUntilNs > now) {
      if ((known.granted & mask) == mask) return 0;
      if ((known.asked & ~known.granted & mask) != 0) return -Errno.EACCES;
    }
  }
  const status = askAt(path, pathBytes, mask);
  return isStale(status) ? askAt(path, pathBytes, mask) : status;
}

function askAt(path: usize, pathBytes: u32, mask: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const status = mask == F_OK ? 0 : askForRights(request, mask);
  endCall(request);
  return status;
}

/** Of the node on which the request stands. Yields. */
function askForRights(request: FsRequest, mask: u32): i32 {
  const node = changetype<Node>(request.node);
  const version = node.session.version;
  const untilNs = node.attrUntilNs;
  store<u32>(argumentsOf(request, FuseAccessIn.sizeof), mask, FuseAccessIn.mask);
  let status = transact(request, FuseOpcode.ACCESS, node.nodeid, FuseAccessIn.sizeof, 0, 0, 0);
  if (status == -Errno.ENOSYS) status = 0; // a server without rights
  // With newer attributes the answer may be another one.
  if (version != node.session.version || untilNs != node.attrUntilNs) return status;
  if (status == 0) node.granted |= <u8>mask;
  // Of several rights nobody knows which one is missing.
  if (status == 0 || (status == -Errno.EACCES && popcnt(mask) == 1)) node.asked |= <u8>mask;
  return status;
}

/**
 * Fills the FileSystemStat at `stat` for the file system that the path is on. Yields. Returns 0 or
 * an error as of SysStatFile.
 */
export function SysStatFileSystem(path: usize, pathBytes: u32, stat: usize): i32 {
  const request = beginPath(path, pathBytes, Walk.Follow);
  if (!request) return pathError();
  const node = changetype<Node>(request.node);
  const reply = <u32>FuseStatfsOut.sizeof;
  const got = transact(request, FuseOpcode.STATFS, node.nodeid, 0, reply, 0, 0);
  if (got >= 0) fill(changetype<FileSystemStat>(stat), replyOf(request));
  endCall(request);
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
