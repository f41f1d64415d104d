// Buffers of senders that the device reads in place. A blocking send waits until the device has
// given all of its packets back. One with MSG_ZEROCOPY returns at once: it gets a number, and the
// socket collects ranges of numbers whose buffers are free again.
import { List, ListNode } from "../../list";
import { ToroFreeMem, ToroGetMem } from "../../memory";
import { wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { Packet } from "../link/packet";
import { completionsOf, Socket, userBuffersOf, writersOf } from "./socket";

/** Sends with MSG_ZEROCOPY of a socket that are in flight or whose completion was not read. */
const COMPLETIONS_MAX: u32 = 64;

/** The buffers of one call, or a range of numbered calls that are done. */
@unmanaged
export class UserBuffers extends ListNode {
  socket: Socket | null; // of a numbered call, unless the socket is gone
  pending: u32; // packets that the device has, or chunks that a peer has not acknowledged
  open: bool; // more packets may come
  numbered: bool; // a call with MSG_ZEROCOPY that has sent something
  detached: bool; // nobody waits: the record frees itself
  copied: bool; // the call copies its bytes after all
  first: u32; // numbers of calls
  last: u32;
}

export const BUFFERS_WAITERS: usize = offsetof<UserBuffers>();
export const BUFFERS_BYTES: usize = BUFFERS_WAITERS + offsetof<WaitQueue>();

export function waitersOf(buffers: UserBuffers): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(buffers) + BUFFERS_WAITERS);
}

/** A record without packets; null: no memory. */
export function createUserBuffers(detached: bool, copied: bool): UserBuffers | null {
  const address = ToroGetMem(BUFFERS_BYTES);
  if (address == 0) return null;
  memory.fill(address, 0, BUFFERS_BYTES);
  const buffers = changetype<UserBuffers>(address);
  buffers.open = true;
  buffers.detached = detached;
  buffers.copied = copied;
  return buffers;
}

export function freeUserBuffers(buffers: UserBuffers): void {
  assert(buffers.pending == 0, "device has a packet");
  assert(!buffers.list, "in a list");
  ToroFreeMem(changetype<usize>(buffers));
}

/** A packet of the call's buffers is about to be sent. */
export function addPacket(buffers: UserBuffers, packet: Packet): void {
  assert(buffers.open && packet.segments != 0, "no such packet");
  packet.completion = (packetDone as (buffers: UserBuffers, bytes: u32) => void).index;
  packet.completionArg = changetype<usize>(buffers);
  holdUserBuffers(buffers);
}

/** The device has given a packet back, or never had it. */
function packetDone(buffers: UserBuffers, _: u32): void {
  releaseUserBuffers(buffers);
}

/** Somebody reads the buffers, until releaseUserBuffers(). */
export function holdUserBuffers(buffers: UserBuffers): void {
  assert(buffers.open, "no more may come");
  buffers.pending++;
}

export function releaseUserBuffers(buffers: UserBuffers): void {
  assert(buffers.pending != 0, "given back twice");
  if (--buffers.pending == 0 && !buffers.open) finish(buffers);
}

/** No more packets come. */
export function closeUserBuffers(buffers: UserBuffers): void {
  buffers.open = false;
  if (buffers.pending == 0) finish(buffers);
}

function finish(buffers: UserBuffers): void {
  const s = buffers.socket;
  if (s) complete(s, buffers);
  else if (buffers.detached) freeUserBuffers(buffers);
  else wakeAll(waitersOf(buffers));
}

// MSG_ZEROCOPY.

/** May the socket start another send with MSG_ZEROCOPY? */
export function hasCompletionRoom(s: Socket): bool {
  return s.completionCount < COMPLETIONS_MAX;
}

/** Gives a call that has sent something the socket's next number. */
export function numberCall(s: Socket, buffers: UserBuffers): void {
  assert(!buffers.numbered, "has a number");
  buffers.socket = s;
  buffers.numbered = true;
  buffers.first = buffers.last = s.nextCompletion++;
  userBuffersOf(s).append(buffers);
  s.completionCount++;
}

/** Moves the call to the finished ones, in the order of their numbers. */
function complete(s: Socket, buffers: UserBuffers): void {
  userBuffersOf(s).remove(buffers);
  const done = completionsOf(s);
  let after = done.last;
  while (after && <i32>(changetype<UserBuffers>(after).first - buffers.first) > 0) {
    after = after.prev;
  }
  done.insertAfter(after, buffers);
  const next = buffers.next;
  if (next) mergeRanges(s, buffers, changetype<UserBuffers>(next));
  if (after) mergeRanges(s, changetype<UserBuffers>(after), buffers);
  wakeAll(writersOf(s));
}

/**
 * Makes one range of two neighbours, if the numbers have no gap and both were copied or neither.
 */
function mergeRanges(s: Socket, left: UserBuffers, right: UserBuffers): void {
  if (left.last + 1 != right.first || left.copied != right.copied) return;
  left.last = right.last;
  dropCompletion(s, right);
  freeUserBuffers(right);
}

function dropCompletion(s: Socket, range: UserBuffers): void {
  assert(s.completionCount != 0, "wrong count");
  completionsOf(s).remove(range);
  s.completionCount--;
}

/** Takes the oldest range of finished calls; null: there is none. The caller frees it. */
export function takeCompletion(s: Socket): UserBuffers | null {
  const first = completionsOf(s).first;
  if (!first) return null;
  const range = changetype<UserBuffers>(first);
  dropCompletion(s, range);
  return range;
}

/** The socket goes away, and nobody will read completions. */
export function abandonUserBuffers(s: Socket): void {
  const calls: List = userBuffersOf(s);
  for (let node = calls.first; node; node = calls.first) {
    calls.remove(node);
    changetype<UserBuffers>(node).socket = null;
    assert(changetype<UserBuffers>(node).detached, "wrong state");
  }
  for (let one = takeCompletion(s); one; one = takeCompletion(s)) freeUserBuffers(one);
}
