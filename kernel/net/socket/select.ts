// SysSocketSelect: one thread waits for many sockets, with a place in every queue.
import { Errno } from "../../../abi/errno";
import { deadlineAfterMs } from "../../clock";
import { block, self } from "../../scheduler";
import { allocateNodes, joinQueue, releaseNodes } from "../../thread";
import { hasPayloadRoom, NO_INTERFACE, sendersOf } from "../link/interface";
import { creditOf } from "./credit";
import { atEnd } from "./end";
import { askForCredit } from "./output";
import { advertiseCredit, isReadable } from "./receive";
import { leastToSend, sendRoomOf, sendSpaceOf } from "./send-buffer";
import { completionsOf, NO_SOCKET, readersOf, Socket, SocketState, writersOf } from "./socket";
import { receiveIsShut, sendIsShut } from "./state";
import { socketOf } from "./table";
import { routeOf } from "./transport";

/** Events of SysSocketSelect, Linux poll numbers. */
export const POLLIN: u32 = 1;
export const POLLOUT: u32 = 4;
export const POLLERR: u32 = 8;
export const POLLHUP: u32 = 16;
export const POLLNVAL: u32 = 32;

const SELECT_MAX: u32 = 1024;

/** An entry of SysSocketSelect. */
@unmanaged
export class SelectEntry {
  socket: i32;
  events: u16; // asked for
  revents: u16; // found; POLLERR, POLLHUP and POLLNVAL come unasked
}

if (offsetof<SelectEntry>("revents") != 6) ERROR("select: wrong layout");

/** The events of a socket that have happened, of `events` and those that come unasked. */
function readiness(handle: i32, events: u32): u32 {
  const s = socketOf(handle);
  if (s == NO_SOCKET) return POLLNVAL;
  let found: u32 = 0;
  const readable = isReadable(s, i32.MAX_VALUE) || atEnd(s);
  if (readable || s.pending != 0) found |= POLLIN;
  if (isWritable(s)) found |= POLLOUT;
  if (s.state == SocketState.Disconnected) {
    found |= s.error == 0 ? POLLHUP : POLLERR | POLLHUP;
  } else if (receiveIsShut(s) && sendIsShut(s)) {
    found |= POLLHUP;
  }
  if (completionsOf(s).first) found |= POLLERR; // as on Linux: SysSocketSendCompletion has a range
  return found & (events | POLLERR | POLLHUP);
}

/** Would a send return at once, perhaps with an error? Before a connection: would a connect? */
function isWritable(s: Socket): bool {
  if (s.state == SocketState.Connected) return sendIsShut(s) || sendSpaceOf(s) >= leastToSend(s);
  if (s.state > SocketState.Bound) return false;
  const iface = routeOf(s);
  return iface == NO_INTERFACE || !iface.up || hasPayloadRoom(iface);
}

/**
 * Waits for an event on one of `count` (up to 1024) SelectEntry at `entries`;
 * timeoutMs < 0 waits forever, 0 only looks. Yields. Returns how many entries have revents, 0
 * after the time-out, -EINVAL or -ENOMEM.
 */
export function SysSocketSelect(entries: usize, count: u32, timeoutMs: i64): i32 {
  if (count > SELECT_MAX) return -Errno.EINVAL;
  const until = deadlineAfterMs(timeoutMs);
  while (true) {
    let found = 0;
    for (let i: u32 = 0; i < count; i++) {
      const entry = changetype<SelectEntry>(entries + i * offsetof<SelectEntry>());
      entry.revents = <u16>readiness(entry.socket, entry.events);
      if (entry.revents != 0) found++;
    }
    if (found != 0 || timeoutMs == 0) return found;
    const waited = waitForAny(entries, count, until);
    if (waited == -Errno.ETIMEDOUT) return 0;
    if (waited < 0) return waited;
  }
}

/** Would a send or connect of the socket wait for room in the ring? */
function waitsForDevice(s: Socket): bool {
  if (s.state == SocketState.Connected) return sendRoomOf(s) < leastToSend(s);
  return s.state <= SocketState.Bound;
}

/** Sleeps in the queues of every entry, and of their interfaces, at once. Yields. */
function waitForAny(entries: usize, count: u32, until: u64): i32 {
  assert(count <= SELECT_MAX, "too large");
  const thread = self();
  const allocated = allocateNodes(thread, count * 3);
  if (allocated < 0) return allocated;
  for (let i: u32 = 0; i < count; i++) {
    const entry = changetype<SelectEntry>(entries + i * offsetof<SelectEntry>());
    const s = socketOf(entry.socket);
    joinQueue(thread, i * 3, readersOf(s));
    joinQueue(thread, i * 3 + 1, writersOf(s));
    if ((entry.events & POLLIN) != 0) advertiseCredit(s, i32.MAX_VALUE);
    if ((entry.events & POLLOUT) == 0) continue;
    if (s.state == SocketState.Connected && creditOf(s) < leastToSend(s)) askForCredit(s);
    const iface = routeOf(s);
    if (iface != NO_INTERFACE && waitsForDevice(s)) joinQueue(thread, i * 3 + 2, sendersOf(iface));
  }
  const waited = block(until);
  releaseNodes(thread);
  return waited;
}
