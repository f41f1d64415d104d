// SysSocketSelect: waiting for many sockets at once, each thread with a place in every queue.
import { Errno } from "../../../abi/errno";
import { deadlineAfterMs } from "../../clock";
import { block, self } from "../../scheduler";
import { allocateNodes, joinQueue, releaseNodes } from "../../thread";
import {
  NO_SOCKET,
  readersOf,
  receiveIsShut,
  sendIsShut,
  Socket,
  socketOf,
  SocketState,
  writersOf,
} from "./socket";
import { atEnd } from "./end";
import {
  firstInterface,
  hasPayloadRoom,
  NetworkInterface,
  NO_INTERFACE,
  sendersOf,
} from "../link/interface";
import { isReadable, tellRoom } from "./receive";
import { leastToSend, sendRoomOf, sendSpaceOf } from "./send-buffer";
import { askForCredit } from "./input";
import { creditOf } from "./credit";

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

/** What of `events` has happened on a socket. */
function readiness(handle: i32, events: u32): u32 {
  const s = socketOf(handle);
  if (s == NO_SOCKET) return POLLNVAL;
  let found: u32 = 0;
  const readable = isReadable(s, i32.MAX_VALUE) || atEnd(s);
  if (readable || s.nextPending) found |= POLLIN;
  if (isWritable(s)) found |= POLLOUT;
  if (s.state == SocketState.Disconnected) {
    found |= s.error == 0 ? POLLHUP : POLLERR | POLLHUP;
  } else if (receiveIsShut(s) && sendIsShut(s)) {
    found |= POLLHUP;
  }
  if (s.completions) found |= POLLERR; // as on Linux: SysSocketSendCompletion has something to say
  return found & (events | POLLERR | POLLHUP);
}

/** Would a send return at once, if with an error? A connect, of a socket that is no connection. */
function isWritable(s: Socket): bool {
  if (s.state == SocketState.Connected) return sendIsShut(s) || sendSpaceOf(s) >= leastToSend(s);
  if (s.state > SocketState.Bound) return false;
  const iface = interfaceOf(s);
  return !iface.up || hasPayloadRoom(iface);
}

/** By which a socket connects. */
function interfaceOf(s: Socket): NetworkInterface {
  return s.iface == NO_INTERFACE ? firstInterface() : s.iface;
}

/**
 * Waits until something asked for happens on one of `count` (up to 1024) SelectEntry at `entries`;
 * timeoutMs < 0 waits for ever, 0 only looks. Yields. Returns how many entries have revents, 0
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

/** Is there no room in the ring for what the socket would send? */
function waitsForDevice(s: Socket): bool {
  if (s.state == SocketState.Connected) return sendRoomOf(s) < leastToSend(s);
  return s.state <= SocketState.Bound;
}

/** Sleeps in the queues of every entry, and of their interfaces, at once. Yields. */
function waitForAny(entries: usize, count: u32, until: u64): i32 {
  const thread = self();
  const allocated = allocateNodes(thread, count * 3);
  if (allocated < 0) return allocated;
  for (let i: u32 = 0; i < count; i++) {
    const entry = changetype<SelectEntry>(entries + i * offsetof<SelectEntry>());
    const s = socketOf(entry.socket);
    joinQueue(thread, i * 3, readersOf(s));
    joinQueue(thread, i * 3 + 1, writersOf(s));
    if ((entry.events & POLLIN) != 0) tellRoom(s, i32.MAX_VALUE);
    if ((entry.events & POLLOUT) == 0) continue;
    if (s.state == SocketState.Connected && creditOf(s) < leastToSend(s)) askForCredit(s);
    if (waitsForDevice(s)) joinQueue(thread, i * 3 + 2, sendersOf(interfaceOf(s)));
  }
  const waited = block(until);
  releaseNodes(thread);
  return waited;
}
