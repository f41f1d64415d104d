// A device's window as the guest keeps it: slots of 64 KiB in shared memory (virtio 5.11.6.4), and
// ranges of them with parts of files. Ranges that nobody uses stay, until others need their slots.
import { Errno } from "../../abi/errno";
import { FS_SHM_WINDOW, FS_WINDOW_ALIGNMENT_LOG2 } from "../../abi/fuse-window";
import { nowNs } from "../clock";
import { isBehindHeap, ToroAllocMem, ToroFreeMem } from "../memory";
import { WaitQueue } from "../thread";
import { Node, Session, statOf } from "./node";

export const SLOT_SHIFT: u32 = FS_WINDOW_ALIGNMENT_LOG2;
/** Of a larger window the rest goes unused. */
const SLOTS_MAX: u32 = 4096;

export const enum RangeState {
  Mapping, // the device has been asked for it
  Mapped, // the device says that the file is there
  Leaving, // the device has been asked to remove it
}

/** A part of a file in a run of slots. */
@unmanaged
export class Range {
  nodeid: u64; // 0: found no more, since the file has changed
  generation: u64; // and of that number
  offset: u64; // in the file
  size: u64; // of the file when it was mapped, with its times
  mtimeNs: i64;
  ctimeNs: i64;
  believedUntilNs: u64; // see believedUntil()
  first: u32; // slot
  slots: u32;
  pins: u32; // users that were given its address
  refusal: u64; // the last time that the device did not remove it, by `refusals`; 0: none
  writable: bool;
  state: RangeState;
  newer: Range | null; // by use
  older: Range | null;
}

export const NO_RANGE: Range = changetype<Range>(0);

@unmanaged
export class Window {
  base: usize;
  slots: u32;
  session: Session;
  owners: usize; // of each slot the address of its range, or 0
  busy: u32; // ranges that the device is being asked about
  refusals: u64; // times that the device has not removed a range
  error: i32; // why, the last time
  changes: WaitQueue; // who waits for them
  newest: Range | null;
  oldest: Range | null;
  next: Window | null;
}

export const NO_WINDOW: Window = changetype<Window>(0);
let firstWindow: Window | null = null;

/**
 * Finds the device's window, if it has one that can be true (D14): behind the RAM, inside memory.
 * Without it, or memory to keep account of it, files are read as ever (F16).
 */
export function openWindow(session: Session): void {
  const device = session.driver.device;
  const bytes = device.sharedMemoryBytes(FS_SHM_WINDOW);
  const base = device.sharedMemoryBase(FS_SHM_WINDOW);
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
  window.session = session;
  window.next = firstWindow;
  firstWindow = window;
  session.window = changetype<usize>(window);
}

/**
 * The device has forgotten what it has mapped. Who was given an address keeps it, with the bytes
 * that are there; nobody else finds it.
 */
export function renewWindow(window: Window): void {
  for (let range = window.oldest; range; ) {
    const newer = range.newer;
    range.nodeid = 0;
    if (range.pins == 0 && range.state == RangeState.Mapped) freeRange(window, range);
    range = newer;
  }
}

function ownerOf(window: Window, slot: u32): usize {
  return window.owners + slot * sizeof<usize>();
}

/** The range that is mapped at an address, whichever window it is in; or null. */
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
 * A range that holds `slots` slots of the file from `offset` on, as its attributes are; or null.
 * One of an older state of the file is found no more. What is being mapped is found, too.
 */
export function findRange(
  window: Window,
  node: Node,
  offset: u64,
  slots: u32,
  writable: bool,
): Range {
  const end = offset + (<u64>slots << SLOT_SHIFT);
  let range = window.newest;
  while (range) {
    const older = range.older;
    if (range.nodeid == node.nodeid && range.state != RangeState.Leaving) {
      if (range.generation != node.generation || !isCurrent(range, node)) {
        range.nodeid = 0;
        unlink(window, range);
        pushOldest(window, range);
      } else if (
        range.offset <= offset &&
        range.offset + (<u64>range.slots << SLOT_SHIFT) >= end &&
        (range.writable || !writable)
      ) {
        return range;
      }
    }
    range = older;
  }
  return NO_RANGE;
}

/**
 * Does the range hold the file as it is known to be? What is stored into a writable one changes the
 * times, too: as long as it is in use they tell nothing of the host. Behind that the worst is that
 * the file's own part is mapped once more.
 */
function isCurrent(range: Range, node: Node): bool {
  if (range.writable && range.pins != 0) return true;
  const stat = statOf(node);
  return (
    range.size == stat.size && range.mtimeNs == stat.mtimeNs && range.ctimeNs == stat.ctimeNs &&
    range.believedUntilNs > nowNs()
  );
}

/** A range in the run of slots that begins at `first`, all of them free. Null: no memory. */
export function makeRange(window: Window, first: u32, slots: u32): Range {
  const range = changetype<Range>(ToroAllocMem(offsetof<Range>()));
  if (range == NO_RANGE) return NO_RANGE;
  range.first = first;
  range.slots = slots;
  setOwner(window, range, changetype<usize>(range));
  pushNewest(window, range);
  return range;
}

export function freeRange(window: Window, range: Range): void {
  setOwner(window, range, 0);
  unlink(window, range);
  ToroFreeMem(changetype<usize>(range));
}

function setOwner(window: Window, range: Range, owner: usize): void {
  for (let i: u32 = 0; i < range.slots; i++) store<usize>(ownerOf(window, range.first + i), owner);
}

export function touch(window: Window, range: Range): void {
  if (window.newest == range) return;
  unlink(window, range);
  pushNewest(window, range);
}

/** The first of `slots` free slots in a row; -ENOSPC. Those that are being freed may count. */
export function findRun(window: Window, slots: u32, leavingToo: bool): i32 {
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
 * The range that nobody has used for the longest time, of those that nobody uses and that the
 * device has not refused to remove behind the first `refusals` ones; or null.
 */
export function findUnused(window: Window, refusals: u64): Range {
  let range = window.oldest;
  while (
    range && (range.pins != 0 || range.state != RangeState.Mapped || range.refusal > refusals)
  ) {
    range = range.newer;
  }
  return changetype<Range>(changetype<usize>(range));
}

/**
 * For a range that the device did not remove: what was stored into it may be nowhere else. It stays
 * until it is asked for again, which others are before it; found no more, for the device may have
 * removed it all the same.
 */
export function keepRange(window: Window, range: Range): void {
  range.state = RangeState.Mapped;
  range.nodeid = 0;
  touch(window, range);
}

function pushNewest(window: Window, range: Range): void {
  const newest = window.newest;
  range.newer = null;
  range.older = newest;
  if (newest) newest.newer = range;
  else window.oldest = range;
  window.newest = range;
}

function pushOldest(window: Window, range: Range): void {
  const oldest = window.oldest;
  range.older = null;
  range.newer = oldest;
  if (oldest) oldest.older = range;
  else window.newest = range;
  window.oldest = range;
}

function unlink(window: Window, range: Range): void {
  const newer = range.newer;
  const older = range.older;
  if (newer) newer.older = older;
  else window.newest = older;
  if (older) older.newer = newer;
  else window.oldest = newer;
}
