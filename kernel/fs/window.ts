// A device's window as the guest keeps it: slots of 64 KiB in shared memory (virtio 5.11.6.4), and
// ranges of slots with parts of files. Unused ranges stay until others need their slots.
import { Errno } from "../../abi/errno";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../abi/fuse-window";
import { windowBase, windowBytes } from "../fuse/device";
import { nowNs } from "../clock";
import { List, ListNode } from "../list";
import { isBehindHeap, ToroAllocMem, ToroFreeMem } from "../memory";
import { WaitQueue } from "../thread";
import { FileSystem, Node, statOf } from "./node";

export const SLOT_SHIFT: u32 = FS_WINDOW_ALIGNMENT_LOG2;
/** The rest of a larger window is not used. */
const SLOTS_MAX: u32 = 4096;

export const enum RangeState {
  Mapping, // SETUPMAPPING is in flight
  Mapped, // the device has put the file there
  Leaving, // REMOVEMAPPING is in flight
}

/** A part of a file in a run of slots. */
@unmanaged
export class Range extends ListNode {
  nodeid: u64; // 0: not found any more, since the file has changed
  generation: u64; // of nodeid
  offset: u64; // in the file
  size: u64; // of the file when it was mapped, with its times
  mtimeNs: i64;
  ctimeNs: i64;
  validUntilNs: u64; // see believedUntil()
  first: u32; // slot
  slots: u32;
  pins: u32; // users that were given its address
  refusal: u64; // the number, by `refusals`, of its last failed removal; 0: none
  writable: bool;
  state: RangeState;
}

export const NO_RANGE: Range = changetype<Range>(0);

/** A list of its ranges, least recently used first. */
@unmanaged
export class Window extends List {
  base: usize;
  slots: u32;
  fs: FileSystem;
  owners: usize; // for each slot, the address of its range or 0
  busy: u32; // ranges that a request in flight is about
  refusals: u64; // removals of single ranges that have failed
  error: i32; // of the last one
  changes: WaitQueue; // threads that wait until a range changes its state
  next: Window | null;
}

export const NO_WINDOW: Window = changetype<Window>(0);
let firstWindow: Window | null = null;

/**
 * Opens the device's window, if it has a plausible one (D14): after the RAM, inside memory. Without
 * it, or without memory to manage it, files can still be read (F16).
 */
export function openWindow(fs: FileSystem): void {
  assert(fs.window == 0, "fs: done twice");
  const bytes = windowBytes(fs.session);
  const base = windowBase(fs.session);
  const mask: u64 = (1 << SLOT_SHIFT) - 1;
  const end = <u64>memory.size() << 16;
  if (bytes == 0 || ((bytes | base) & mask) != 0 || !isBehindHeap(base)) return;
  if (base >= end || bytes > end - base) return;
  const slots = <u32>min<u64>(bytes >> SLOT_SHIFT, SLOTS_MAX);
  const window = changetype<Window>(ToroAllocMem(offsetof<Window>()));
  if (window == NO_WINDOW) return;
  window.owners = ToroAllocMem(slots * sizeof<usize>());
  window.changes = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  if (window.owners == 0 || changetype<usize>(window.changes) == 0) {
    ToroFreeMem(window.owners);
    ToroFreeMem(changetype<usize>(window.changes));
    ToroFreeMem(changetype<usize>(window));
    return;
  }
  window.base = <usize>base;
  window.slots = slots;
  window.fs = fs;
  window.next = firstWindow;
  firstWindow = window;
  fs.window = changetype<usize>(window);
}

/**
 * The device has forgotten its mappings. Users of an address keep it, with the bytes that are
 * there; nobody else finds the range.
 */
export function renewWindow(window: Window): void {
  for (let member = window.first; member; ) {
    const range = changetype<Range>(member);
    member = member.next;
    range.nodeid = 0;
    if (range.pins == 0 && range.state == RangeState.Mapped) freeRange(window, range);
  }
}

function ownerOf(window: Window, slot: u32): usize {
  return window.owners + slot * sizeof<usize>();
}

/** The range at an address in any window, or null. */
export function findRangeAt(address: usize): Range {
  let window = firstWindow;
  while (window) {
    const slot = (address - window.base) >> SLOT_SHIFT;
    if (address >= window.base && slot < <usize>window.slots) {
      return changetype<Range>(load<usize>(ownerOf(window, <u32>slot)));
    }
    window = window.next;
  }
  return NO_RANGE;
}

export function addressOf(window: Window, range: Range): usize {
  return window.base + (<usize>range.first << SLOT_SHIFT);
}

/**
 * A range that contains `slots` slots of the file from `offset`, in the state that its attributes
 * say, also one that is still being mapped; or null. Ranges of an older state are retired.
 */
export function findRange(
  window: Window,
  node: Node,
  offset: u64,
  slots: u32,
  writable: bool,
): Range {
  const end = offset + (<u64>slots << SLOT_SHIFT);
  for (let member = window.last; member; ) {
    const range = changetype<Range>(member);
    member = member.prev;
    if (range.nodeid != node.nodeid || range.state == RangeState.Leaving) continue;
    if (range.generation != node.generation || !isCurrent(range, node)) {
      retire(window, range);
    } else if (
      range.offset <= offset &&
      range.offset + (<u64>range.slots << SLOT_SHIFT) >= end &&
      (range.writable || !writable)
    ) {
      return range;
    }
  }
  return NO_RANGE;
}

/** The range is not found any more, and is the first to be removed. */
function retire(window: Window, range: Range): void {
  assert(range.nodeid != 0 && range.state != RangeState.Leaving, "fs: state");
  range.nodeid = 0;
  window.remove(range);
  window.insertAfter(null, range);
}

/**
 * Does the range contain the file in the state that its attributes say? Stores into a writable
 * range change the times too, so while it is in use they say nothing about the host. After that, at
 * worst the same part is mapped once more.
 */
function isCurrent(range: Range, node: Node): bool {
  if (range.writable && range.pins != 0) return true;
  const stat = statOf(node);
  return (
    range.size == stat.size && range.mtimeNs == stat.mtimeNs && range.ctimeNs == stat.ctimeNs &&
    range.validUntilNs > nowNs()
  );
}

/** Makes a range of the free slots from `first`, in the state Mapping. Null: no memory. */
export function makeRange(window: Window, first: u32, slots: u32): Range {
  assert(slots != 0 && first + slots <= window.slots, "fs: too many");
  const range = changetype<Range>(ToroAllocMem(offsetof<Range>()));
  if (range == NO_RANGE) return NO_RANGE;
  range.first = first;
  range.slots = slots;
  setOwner(window, range, 0, changetype<usize>(range));
  window.append(range);
  return range;
}

export function freeRange(window: Window, range: Range): void {
  assert(range.pins == 0, "fs: in use");
  setOwner(window, range, changetype<usize>(range), 0);
  window.remove(range);
  ToroFreeMem(changetype<usize>(range));
}

function setOwner(window: Window, range: Range, before: usize, owner: usize): void {
  for (let i: u32 = 0; i < range.slots; i++) {
    const at = ownerOf(window, range.first + i);
    assert(load<usize>(at) == before, "fs: slot taken");
    store<usize>(at, owner);
  }
}

export function touch(window: Window, range: Range): void {
  if (window.last == range) return;
  window.remove(range);
  window.append(range);
}

/**
 * Returns the first of `slots` consecutive free slots, or -ENOSPC. With `leavingToo`, slots of
 * ranges that are being removed count as free.
 */
export function findRun(window: Window, slots: u32, leavingToo: bool): i32 {
  assert(slots != 0 && slots <= window.slots, "fs: too many");
  let run: u32 = 0;
  for (let i: u32 = 0; i < window.slots; i++) {
    const owner = changetype<Range>(load<usize>(ownerOf(window, i)));
    const free = owner == NO_RANGE || (leavingToo && owner.state == RangeState.Leaving);
    run = free ? run + 1 : 0;
    if (run == slots) return <i32>(i + 1 - slots);
  }
  return -Errno.ENOSPC;
}

/**
 * The least recently used range among those that are not in use, and whose removal has not failed
 * after the first `refusals` failures; or null.
 */
export function findUnused(window: Window, refusals: u64): Range {
  for (let member = window.first; member; ) {
    const range = changetype<Range>(member);
    member = member.next;
    const unused = range.pins == 0 && range.state == RangeState.Mapped;
    if (unused && range.refusal <= refusals) return range;
  }
  return NO_RANGE;
}

/**
 * Keeps a range whose removal has failed: stores into it may be nowhere else. It stays until its
 * turn comes again, as the newest, and is not found, since the device may have removed it anyway.
 */
export function keepRange(window: Window, range: Range): void {
  assert(range.state == RangeState.Leaving, "fs: state");
  range.state = RangeState.Mapped;
  range.nodeid = 0;
  touch(window, range);
}
