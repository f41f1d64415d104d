// Buffers that senders lend to the device. A blocking send waits until all of its packets are back;
// one with MSG_ZEROCOPY goes on, and the socket collects ranges of such sends that are done.
import { ToroFreeMem, ToroGetMem } from "../../memory";
import { wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { Socket, writersOf } from "./socket";

/** Sends with MSG_ZEROCOPY whose completion a socket has not read. */
const COMPLETIONS_MAX: u32 = 64;

/** One call's buffers, or a range of calls that are done. */
@unmanaged
export class Lending {
  next: Lending | null; // in the socket's list
  socket: Socket | null; // that learns of the end; null: a thread waits, or the socket is gone
  pending: u32; // packets that are not back
  open: bool; // more packets may come
  announced: bool; // the call has a number
  detached: bool; // nobody waits: it frees itself
  copied: bool;
  first: u32; // numbers of calls
  last: u32;
}

const WAITERS: usize = offsetof<Lending>();
const LENDING_BYTES: usize = WAITERS + offsetof<WaitQueue>();

export function waitersOf(lending: Lending): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(lending) + WAITERS);
}

/** A lending without packets; null: no memory. */
export function createLending(): Lending | null {
  const address = ToroGetMem(LENDING_BYTES);
  if (address == 0) return null;
  memory.fill(address, 0, LENDING_BYTES);
  const lending = changetype<Lending>(address);
  lending.open = true;
  return lending;
}

/** Frees a lending whose packets are all back. */
export function freeLending(lending: Lending): void {
  ToroFreeMem(changetype<usize>(lending));
}

/** The device has given a packet back, or never had it. */
export function returned(lending: Lending): void {
  if (--lending.pending == 0 && !lending.open) finish(lending);
}

/** No more packets come. */
export function closeLending(lending: Lending): void {
  lending.open = false;
  if (lending.pending == 0) finish(lending);
}

function finish(lending: Lending): void {
  const s = lending.socket;
  if (s) complete(s, lending);
  else if (lending.detached) freeLending(lending);
  else wakeAll(waitersOf(lending));
}

// MSG_ZEROCOPY.

/** May the socket begin another send with MSG_ZEROCOPY? */
export function hasCompletionRoom(s: Socket): bool {
  return s.completionCount < COMPLETIONS_MAX;
}

/** The lending of a call that sends: it gets the next number, and the socket learns of its end. */
export function announce(s: Socket, lending: Lending): void {
  lending.socket = s;
  lending.announced = true;
  lending.first = lending.last = s.nextCompletion++;
  lending.next = s.lendings;
  s.lendings = lending;
  s.completionCount++;
}

function unlink(s: Socket, lending: Lending): void {
  let before: Lending | null = null;
  let one = s.lendings;
  while (one && one != lending) {
    before = one;
    one = one.next;
  }
  if (before) before.next = lending.next;
  else s.lendings = lending.next;
}

/** Moves the lending into a range of those that are done, in the order of their numbers. */
function complete(s: Socket, lending: Lending): void {
  unlink(s, lending);
  let before: Lending | null = null;
  let after = s.completions;
  while (after && <i32>(after.first - lending.first) < 0) {
    before = after;
    after = after.next;
  }
  lending.next = after;
  if (before) before.next = lending;
  else s.completions = lending;
  if (after) merge(s, lending, after);
  if (before) merge(s, before, lending);
  wakeAll(writersOf(s));
}

/** Makes one range of two neighbours, if they are alike. */
function merge(s: Socket, left: Lending, right: Lending): void {
  if (left.last + 1 != right.first || left.copied != right.copied) return;
  left.last = right.last;
  left.next = right.next;
  s.completionCount--;
  freeLending(right);
}

/** Takes the oldest range of sends that are done; null: there is none. The caller frees it. */
export function takeCompletion(s: Socket): Lending | null {
  const range = s.completions;
  if (!range) return null;
  s.completions = range.next;
  s.completionCount--;
  return range;
}

/** The socket goes away: nobody is to be told any more. */
export function forgetLendings(s: Socket): void {
  for (let one = s.lendings; one; ) {
    const next = one.next;
    one.socket = null;
    one.detached = true;
    one = next;
  }
  s.lendings = null;
  for (let one = takeCompletion(s); one; one = takeCompletion(s)) freeLending(one);
}
