// Files in memory without a read: SysMapFile and SysUnmapFile, and what they ask of the device. The
// host copies a part of a file into the window once, for all who use it (see the README's limits).
import { Errno } from "../../abi/errno";
import {
  FuseRemovemappingIn,
  FuseRemovemappingOne,
  FuseSetupmappingFlag,
  FuseSetupmappingIn,
} from "../../abi/fuse-window";
import { FUSE_ROOT_ID, FuseOpcode } from "../../abi/fuse";
import { ARGUMENT_BYTES_MAX, argumentsOf, FsRequest } from "../../drivers/fs/driver";
import { transact } from "../../drivers/fs/transact";
import { NEVER } from "../clock";
import { wait, wakeAll } from "../scheduler";
import {
  beginUse,
  believe,
  endUse,
  fileOf,
  isReadable,
  isWritable,
  NO_FILE,
  OpenFile,
  sessionOf,
} from "./file";
import { statOf } from "./node";
import { beginCall, callError, endCall } from "./request";
import { getAttributes } from "./session";
import { believedUntil } from "./stat";
import {
  addressOf,
  findRange,
  findRangeAt,
  findRun,
  findUnused,
  freeRange,
  keepRange,
  makeRange,
  NO_RANGE,
  NO_WINDOW,
  Range,
  RangeState,
  SLOT_SHIFT,
  touch,
  Window,
} from "./window";

/** A flag of SysMapFile: the range may be stored to. */
export const MAP_WRITE: u32 = 1;
/** A file that changes as often while it is being mapped cannot be. */
const TRIES_MAX: u32 = 4;
/** Ranges that one request removes: what its arguments have room for. */
const REMOVED_MAX: u32 =
  (ARGUMENT_BYTES_MAX - <u32>FuseRemovemappingIn.sizeof) / <u32>FuseRemovemappingOne.sizeof;
const SLOT_MASK: u64 = (1 << SLOT_SHIFT) - 1;

/**
 * Maps `length` bytes of an open file from `offset` on, and returns their address. They stay as
 * they are, whatever happens to the file on the host, until SysUnmapFile(address); behind the end
 * of the file are zeros. Users of the same part share it, and it may be there after the last has
 * gone; a file that has changed is mapped anew, but for a part that was mapped with MAP_WRITE,
 * while in use. With it stores reach the file when it is closed or synced, or its memory is needed
 * (if they cannot be written then, it is not given away); then other mappings show them. Yields
 * unless it is there. -ENODEV: the device has no window; -EBADF, -EISDIR, -EINVAL, -EACCES, -EROFS;
 * -EFBIG: more than the window; -ENOSPC: all of it is in use; -ENOMEM; -EAGAIN: the file does not
 * stop changing; or an error of the host, which may be that of another file's stores.
 */
export function SysMapFile(file: i32, offset: u64, length: u32, flags: u32): i64 {
  if ((flags & ~MAP_WRITE) != 0 || length == 0) return -Errno.EINVAL;
  if (offset > <u64>i64.MAX_VALUE - length) return -Errno.EINVAL;
  const from = offset & ~SLOT_MASK;
  const slots = <u32>((offset - from + length + SLOT_MASK) >> SLOT_SHIFT);
  const writable = (flags & MAP_WRITE) != 0;
  for (let tries: u32 = 0; tries <= TRIES_MAX; ) {
    const f = fileOf(file);
    if (f == NO_FILE) return -Errno.EBADF;
    const known = believe(f);
    if (known < 0) return known;
    if (fileOf(file) != f) return -Errno.EBADF;
    if (f.directory) return -Errno.EISDIR;
    const window = changetype<Window>(sessionOf(f).window);
    if (window == NO_WINDOW) return -Errno.ENODEV;
    if (slots > window.slots) return -Errno.EFBIG;
    const range = findRange(window, f.node, from, slots, writable);
    if (range == NO_RANGE) {
      const mapped = tries++ < TRIES_MAX ? map(f, window, from, slots, writable) : -Errno.EAGAIN;
      if (mapped < 0) return mapped;
    } else if (!isReadable(f) || (writable && !isWritable(f))) {
      return -Errno.EACCES; // as the device says of what another handle has not mapped before
    } else if (range.state != RangeState.Mapped) {
      wait(window.changes, NEVER); // for another thread
    } else {
      range.pins++;
      touch(window, range);
      return <i64>addressOf(window, range) + <i64>(offset - range.offset);
    }
  }
  return -Errno.EAGAIN;
}

/**
 * Ends one use of the range that `address` is in. Returns 0, or -EINVAL where nothing is mapped.
 */
export function SysUnmapFile(address: usize): i32 {
  const range = findRangeAt(address);
  if (range == NO_RANGE || range.pins == 0) return -Errno.EINVAL;
  range.pins--;
  return 0;
}

/** Maps what findRange() did not find; nobody uses it yet. Yields. Returns 0 or an error. */
function map(f: OpenFile, window: Window, offset: u64, slots: u32, writable: bool): i32 {
  beginUse(f);
  const session = window.session;
  const request = beginCall(session);
  const status = request
    ? setUp(request, f, window, offset, slots, writable)
    : callError(session);
  if (request) endCall(request);
  endUse(f);
  return status;
}

function setUp(
  request: FsRequest,
  f: OpenFile,
  window: Window,
  offset: u64,
  slots: u32,
  writable: bool,
): i32 {
  const first = makeRoom(request, window, slots);
  if (first < 0) return first;
  const node = f.node;
  const known = statOf(node);
  // Others may have mapped it meanwhile.
  if (findRange(window, node, offset, slots, writable) != NO_RANGE) return 0;
  const range = makeRange(window, first, slots);
  if (range == NO_RANGE) return -Errno.ENOMEM;
  range.nodeid = node.nodeid;
  range.generation = node.generation;
  range.offset = offset;
  range.size = known.size;
  range.mtimeNs = known.mtimeNs;
  range.ctimeNs = known.ctimeNs;
  range.believedUntilNs = believedUntil(known.ctimeNs);
  range.writable = writable;
  window.busy++;
  let status = sendSetUp(request, f, window, range);
  window.busy--;
  if (status < 0) {
    freeRange(window, range); // the next one replaces whatever is there (F13)
  } else {
    range.state = RangeState.Mapped;
    // Asked behind the copy, they tell whether the file was another one by then.
    status = getAttributes(request, node, true, f.fh);
  }
  wakeAll(window.changes);
  return status;
}

function sendSetUp(request: FsRequest, f: OpenFile, window: Window, range: Range): i32 {
  const input = argumentsOf(request, FuseSetupmappingIn.sizeof);
  let flags: u64 = 1 << FuseSetupmappingFlag.READ;
  if (range.writable) flags |= 1 << FuseSetupmappingFlag.WRITE;
  store<u64>(input, f.fh, FuseSetupmappingIn.fh);
  store<u64>(input, range.offset, FuseSetupmappingIn.foffset);
  store<u64>(input, <u64>range.slots << SLOT_SHIFT, FuseSetupmappingIn.len);
  store<u64>(input, flags, FuseSetupmappingIn.flags);
  store<u64>(input, <u64>range.first << SLOT_SHIFT, FuseSetupmappingIn.moffset);
  const bytes = <u32>FuseSetupmappingIn.sizeof;
  return transact(request, FuseOpcode.SETUPMAPPING, range.nodeid, bytes, 0, 0, 0);
}

/**
 * Finds so many free slots in a row, for which ranges that nobody uses have to go. Yields. Returns
 * the first of them, -ENOSPC, or why the device did not remove them.
 */
function makeRoom(request: FsRequest, window: Window, slots: u32): i32 {
  const refusals = window.refusals; // what is refused from here on is not asked for again
  let most = REMOVED_MAX;
  while (true) {
    const first = findRun(window, slots, false);
    if (first >= 0) return first;
    const evicted = evict(request, window, slots, most, refusals);
    if (evicted < 0) {
      most = 1; // of several, one may be to blame
    } else if (evicted == 0) {
      if (window.busy != 0) wait(window.changes, NEVER);
      else return window.refusals == refusals ? -Errno.ENOSPC : window.error;
    }
  }
}

/**
 * Removes the ranges that were not used for the longest time, in one request: as many as it takes,
 * and then an eighth of the window, for those that come next; but `most`, and none that was refused
 * behind `refusals`. Yields. Returns how many, or an error: then they stay.
 */
function evict(
  request: FsRequest,
  window: Window,
  slots: u32,
  most: u32,
  refusals: u64,
): i32 {
  const input = argumentsOf(request, ARGUMENT_BYTES_MAX);
  let count: u32 = 0;
  let freed: u32 = 0;
  while (count < most) {
    if (freed >= window.slots >> 3 && findRun(window, slots, true) >= 0) break;
    const range = findUnused(window, refusals);
    if (range == NO_RANGE) break;
    range.state = RangeState.Leaving;
    const one = input + FuseRemovemappingIn.sizeof + count * FuseRemovemappingOne.sizeof;
    store<u64>(one, <u64>range.first << SLOT_SHIFT, FuseRemovemappingOne.moffset);
    store<u64>(one, <u64>range.slots << SLOT_SHIFT, FuseRemovemappingOne.len);
    freed += range.slots;
    count++;
  }
  if (count == 0) return 0;
  store<u32>(input, count, FuseRemovemappingIn.count);
  const bytes = <u32>FuseRemovemappingIn.sizeof + count * <u32>FuseRemovemappingOne.sizeof;
  window.busy += count;
  const status = transact(request, FuseOpcode.REMOVEMAPPING, FUSE_ROOT_ID, bytes, 0, 0, 0);
  window.busy -= count;
  for (let i: u32 = 0; i < count; i++) {
    const one = input + FuseRemovemappingIn.sizeof + i * FuseRemovemappingOne.sizeof;
    const at = window.base + <usize>load<u64>(one, FuseRemovemappingOne.moffset);
    const range = findRangeAt(at);
    if (status >= 0) {
      freeRange(window, range);
    } else {
      keepRange(window, range);
      if (count == 1) range.refusal = ++window.refusals;
    }
  }
  if (status < 0) window.error = status;
  wakeAll(window.changes);
  return status < 0 ? status : <i32>count;
}
