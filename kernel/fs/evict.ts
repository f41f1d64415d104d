// Freeing slots of a window: the least recently used ranges are removed, by REMOVEMAPPING, several
// in one request. The device may refuse one whose stores it cannot write; then that range stays,
// and the error is reported to the call that needed the slots.
import { Errno } from "../../abi/errno";
import { FUSE_ROOT_ID, FuseOpcode } from "../../abi/fuse";
import { FuseRemovemappingIn, FuseRemovemappingOne } from "../../abi/fuse-window";
import { prepare, transact } from "../fuse/request";
import { ARGUMENT_BYTES_MAX, argumentsOf, FuseRequest } from "../fuse/session";
import { NEVER } from "../clock";
import { wait, wakeAll } from "../scheduler";
import {
  findRangeAt,
  findRun,
  findUnused,
  freeRange,
  keepRange,
  NO_RANGE,
  Range,
  RangeState,
  SLOT_SHIFT,
  Window,
} from "./window";

/** Ranges that one request removes: as many as its arguments have room for. */
const REMOVED_MAX: u32 =
  (ARGUMENT_BYTES_MAX - <u32>FuseRemovemappingIn.sizeof) / <u32>FuseRemovemappingOne.sizeof;

/**
 * Finds `slots` consecutive free slots, and removes unused ranges for them if necessary. Yields.
 * Returns the first slot, -ENOSPC, or the error of the device.
 */
export function freeSlots(request: FuseRequest, window: Window, slots: u32): i32 {
  assert(slots <= window.slots, "fs: too many");
  const refusals = window.refusals; // ranges that are refused after this are not tried again
  let most = REMOVED_MAX;
  while (true) {
    const first = findRun(window, slots, false);
    if (first >= 0) return first;
    const count = markLeaving(request, window, slots, most, refusals);
    if (count != 0) {
      // One of several may be the cause of a refusal: they are tried one by one.
      if (removeLeaving(request, window, count) < 0) most = 1;
    } else if (window.busy != 0) {
      wait(window.changes, NEVER);
    } else {
      return window.refusals == refusals ? -Errno.ENOSPC : window.error;
    }
  }
}

/**
 * Marks the ranges to remove, and lists them in the arguments of a REMOVEMAPPING: enough for
 * `slots`, and then until an eighth of the window is free, so that the next calls find room; at
 * most `most`. Returns their number.
 */
function markLeaving(
  request: FuseRequest,
  window: Window,
  slots: u32,
  most: u32,
  refusals: u64,
): u32 {
  const input = prepare(request, FuseOpcode.REMOVEMAPPING, FUSE_ROOT_ID, ARGUMENT_BYTES_MAX);
  let count: u32 = 0;
  let freed: u32 = 0;
  while (count < most) {
    if (freed >= window.slots >> 3 && findRun(window, slots, true) >= 0) break;
    const range = findUnused(window, refusals);
    if (range == NO_RANGE) break;
    range.state = RangeState.Leaving;
    const record = recordAt(request, count);
    store<u64>(record, <u64>range.first << SLOT_SHIFT, FuseRemovemappingOne.moffset);
    store<u64>(record, <u64>range.slots << SLOT_SHIFT, FuseRemovemappingOne.len);
    freed += range.slots;
    count++;
  }
  assert(count <= REMOVED_MAX, "fs: too many");
  store<u32>(input, count, FuseRemovemappingIn.count);
  request.argumentBytes =
    <u32>FuseRemovemappingIn.sizeof + count * <u32>FuseRemovemappingOne.sizeof;
  return count;
}

function recordAt(request: FuseRequest, i: u32): usize {
  return argumentsOf(request) + FuseRemovemappingIn.sizeof + i * FuseRemovemappingOne.sizeof;
}

function rangeAt(request: FuseRequest, window: Window, i: u32): Range {
  const offset = <usize>load<u64>(recordAt(request, i), FuseRemovemappingOne.moffset);
  return findRangeAt(window.base + offset);
}

/** Removes the ranges that are listed. Yields. Returns 0 or an error; then they stay. */
function removeLeaving(request: FuseRequest, window: Window, count: u32): i32 {
  window.busy += count;
  const status = transact(request);
  assert(window.busy >= count, "fs: count");
  window.busy -= count;
  for (let i: u32 = 0; i < count; i++) {
    const range = rangeAt(request, window, i);
    assert(range != NO_RANGE && range.state == RangeState.Leaving, "fs: state");
    if (status >= 0) {
      freeRange(window, range);
    } else {
      keepRange(window, range);
      if (count == 1) range.refusal = ++window.refusals;
    }
  }
  if (status < 0) window.error = status;
  wakeAll(window.changes);
  return status;
}
