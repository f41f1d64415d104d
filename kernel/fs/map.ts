// Mapping files into memory: SysMapFile and SysUnmapFile. The host copies a part of a file into the
// window once, for all of its users.
import { Errno } from "../../abi/errno";
import { FuseSetupmappingFlag, FuseSetupmappingIn } from "../../abi/fuse-window";
import { FuseOpcode } from "../../abi/fuse";
import { prepare, transact } from "../fuse/request";
import { FuseRequest } from "../fuse/session";
import { NEVER } from "../clock";
import { wait, wakeAll } from "../scheduler";
import { beginCall, callAt, endCall } from "./call";
import { freeSlots } from "./evict";
import {
  beginUse,
  endUse,
  fileOf,
  fsOf,
  isReadable,
  isWritable,
  NO_FILE,
  OpenFile,
  revalidate,
} from "./file";
import { statOf } from "./node";
import { getAttributes } from "./nodeattributes";
import { believedUntil } from "./stat";
import {
  addressOf,
  findRange,
  findRangeAt,
  freeRange,
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
/** Attempts to map a file that changes meanwhile. */
const TRIES_MAX: u32 = 4;
const SLOT_MASK: u64 = (1 << SLOT_SHIFT) - 1;

/**
 * Maps `length` bytes of an open file from `offset`, and returns their address. The bytes stay as
 * they are, whatever happens to the file on the host, until SysUnmapFile(address); zeros follow the
 * end of the file. Users of the same part share it, and it may stay mapped after the last of them.
 * A file that has changed is mapped anew, except for a part in use that was mapped with MAP_WRITE.
 *
 * With MAP_WRITE, stores reach the file when it is closed or synced, or when its memory is needed
 * (which is not given away if they cannot be written); then other mappings show them.
 *
 * Yields unless the part is mapped already. Returns -ENODEV: the device has no window; -EBADF,
 * -EISDIR, -EINVAL, -EACCES, -EROFS; -EFBIG: more than the window; -ENOSPC: all of it is in use;
 * -ENOMEM; -EAGAIN: the file keeps changing; or an error of the host, which may be that of stores
 * to another file.
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
    const known = revalidate(f);
    if (known < 0) return known;
    if (fileOf(file) != f) return -Errno.EBADF;
    if (f.directory) return -Errno.EISDIR;
    const window = changetype<Window>(fsOf(f).window);
    if (window == NO_WINDOW) return -Errno.ENODEV;
    if (slots > window.slots) return -Errno.EFBIG;
    const range = findRange(window, f.node, from, slots, writable);
    if (range == NO_RANGE) {
      const mapped = tries++ < TRIES_MAX ? map(f, window, from, slots, writable) : -Errno.EAGAIN;
      if (mapped < 0) return mapped;
    } else if (!isReadable(f) || (writable && !isWritable(f))) {
      return -Errno.EACCES; // as the device says when the part is not mapped yet
    } else if (range.state != RangeState.Mapped) {
      wait(window.changes, NEVER); // another thread is mapping it
    } else {
      range.pins++;
      touch(window, range);
      return <i64>addressOf(window, range) + <i64>(offset - range.offset);
    }
  }
  return -Errno.EAGAIN;
}

/** Ends one use of the range at `address`. Returns 0, or -EINVAL if nothing is mapped there. */
export function SysUnmapFile(address: usize): i32 {
  const range = findRangeAt(address);
  if (range == NO_RANGE || range.pins == 0) return -Errno.EINVAL;
  range.pins--;
  return 0;
}

/** Maps a part that is not mapped yet, without a user. Yields. Returns 0 or an error. */
function map(f: OpenFile, window: Window, offset: u64, slots: u32, writable: bool): i32 {
  assert(window.fs == fsOf(f), "fs: misplaced");
  beginUse(f);
  const begun = beginCall(window.fs);
  let status = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    status = setUp(call.request, f, window, offset, slots, writable);
    endCall(call);
  }
  endUse(f);
  return status;
}

function setUp(
  request: FuseRequest,
  f: OpenFile,
  window: Window,
  offset: u64,
  slots: u32,
  writable: bool,
): i32 {
  const first = freeSlots(request, window, slots);
  if (first < 0) return first;
  // Others may have mapped it meanwhile.
  if (findRange(window, f.node, offset, slots, writable) != NO_RANGE) return 0;
  const range = makeRange(window, first, slots);
  if (range == NO_RANGE) return -Errno.ENOMEM;
  describe(range, f, offset, writable);
  window.busy++;
  let status = sendSetUp(request, f, range);
  assert(range.state == RangeState.Mapping && range.pins == 0, "fs: state");
  window.busy--;
  if (status < 0) {
    freeRange(window, range); // the next mapping replaces whatever is there (F13)
  } else {
    range.state = RangeState.Mapped;
    // Fetched after the copy, they tell whether the file had changed by then.
    status = getAttributes(request, f.node, true, f.fh);
  }
  wakeAll(window.changes);
  return status;
}

/** Makes the range stand for a part of the file, in the state that its attributes say. */
function describe(range: Range, f: OpenFile, offset: u64, writable: bool): void {
  assert(range.nodeid == 0 && range.pins == 0, "fs: in use");
  assert((offset & SLOT_MASK) == 0, "fs: misplaced");
  const known = statOf(f.node);
  range.nodeid = f.node.nodeid;
  range.generation = f.node.generation;
  range.offset = offset;
  range.size = known.size;
  range.mtimeNs = known.mtimeNs;
  range.ctimeNs = known.ctimeNs;
  range.validUntilNs = believedUntil(known.ctimeNs);
  range.writable = writable;
}

function sendSetUp(request: FuseRequest, f: OpenFile, range: Range): i32 {
  const bytes = <u32>FuseSetupmappingIn.sizeof;
  const input = prepare(request, FuseOpcode.SETUPMAPPING, range.nodeid, bytes);
  let flags: u64 = 1 << FuseSetupmappingFlag.READ;
  if (range.writable) flags |= 1 << FuseSetupmappingFlag.WRITE;
  store<u64>(input, f.fh, FuseSetupmappingIn.fh);
  store<u64>(input, range.offset, FuseSetupmappingIn.foffset);
  store<u64>(input, <u64>range.slots << SLOT_SHIFT, FuseSetupmappingIn.len);
  store<u64>(input, flags, FuseSetupmappingIn.flags);
  store<u64>(input, <u64>range.first << SLOT_SHIFT, FuseSetupmappingIn.moffset);
  return transact(request);
}
