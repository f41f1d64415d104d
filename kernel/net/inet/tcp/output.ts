// The decision what to send now (RFC 9293, 3.8.6): data as far as the peer's window and the
// network's allow, in segments that are worth it, and an acknowledgement that nothing else carries.
import { hasSendRoom } from "../../link/interface";
import { owe } from "../../socket/owed";
import { Socket } from "../../socket/socket";
import { localCard, NO_CARD } from "../local";
import { restartAfterIdle } from "./congestion";
import { pipeOf } from "./holes";
import { isRecoveringHoles, sendHole, sendUncertain } from "./recovery";
import { skipSacked, unsackedFrom } from "./scoreboard";
import { isBefore } from "./sequence";
import { Tcb, tcbOf, TcpState } from "./tcb";
import { hastenProbe, startPersist } from "./timers";
import { acknowledge, fullSegment, HEADERS, sendData, sendFin, TIMESTAMP_BYTES } from "./transmit";

/** A bit of s.owed: the connection has something to send, and found no room. */
export const OWES_OUTPUT: u32 = 0;

/** Sends all that the connection may send now, or owes it to the ring. Does not yield. */
export function output(s: Socket): void {
  const t = tcbOf(s);
  if (t.state < TcpState.Established) return;
  if (t.una == t.top && t.end != t.nxt) restartAfterIdle(t);
  const mends = isRecoveringHoles(t);
  if (mends) while (sendHole(s, t)) {}
  const top = t.top;
  while (sendNext(s, t)) {}
  if (t.top != top) hastenProbe(s);
  if (mends) while (sendUncertain(s, t)) {}
  if (mends && !hasSendRoom(s.iface)) owe(s, OWES_OUTPUT);
  if (!t.isAckDue) return;
  if (hasSendRoom(s.iface)) acknowledge(s);
  else owe(s, OWES_OUTPUT);
}

/** Sends the next segment. Returns false when there is none to be sent now. */
function sendNext(s: Socket, t: Tcb): bool {
  if (isBefore(t.nxt, t.top)) t.nxt = skipSacked(t, t.nxt);
  const left = <i32>(t.end - t.nxt);
  if (left < 0) return false; // the FIN is in flight
  const bytes = left == 0 ? 0 : sendable(t, left);
  if (bytes == 0 && (left != 0 || !t.isFinQueued)) {
    if (left != 0 && t.una == t.nxt) startPersist(s);
    return false;
  }
  if (!hasSendRoom(s.iface)) {
    owe(s, OWES_OUTPUT);
    return false;
  }
  return bytes == 0 ? sendFin(s, t) : sendData(s, t, bytes);
}

/** Bytes of the `left` ones that may be sent in one segment, if it is worth it; or 0. */
function sendable(t: Tcb, left: u32): u32 {
  const room = roomOf(t);
  if (room == 0) return 0;
  const full = fullSegment(t);
  if (isBefore(t.nxt, t.top)) return sendableAgain(t, left, room, full);
  const usable = min(left, room);
  if (usable >= full) return cut(t, usable, full);
  // TC44: all there is, unless Nagle holds it back, or half of the peer's buffer.
  if (usable == left && mayBeShort(t)) return usable;
  return usable >= t.wndMax >> 1 && usable != left ? usable : 0;
}

/** Of bytes that were sent before: one segment of what the peer lacks, a short one if it is all. */
function sendableAgain(t: Tcb, left: u32, room: u32, full: u32): u32 {
  const lacked = min(unsackedFrom(t, t.nxt, left), full);
  return room >= lacked || t.una == t.nxt ? min(room, lacked) : 0;
}

/** Bytes that the peer and the network have room for. */
function roomOf(t: Tcb): u32 {
  const flight = t.nxt - t.una;
  if (t.wnd <= flight) return 0;
  const most = t.cwnd + limitedTransmit(t);
  const pipe = pipeOf(t);
  return most <= pipe ? 0 : min(t.wnd - flight, most - pipe);
}

/** RFC 3042: the first two duplicates let one new segment go each; a board tells of more. */
function limitedTransmit(t: Tcb): u32 {
  return t.isRecovering || t.board != 0 ? 0 : min<u32>(t.dupAcks, 2) * t.mss;
}

/** TC46: may a segment that is not full be sent? */
function mayBeShort(t: Tcb): bool {
  return t.isFinQueued || (!t.isMore && (t.noDelay || t.isAwaited || t.una == t.nxt));
}

/** TC53: a card that cuts gets many segments at once; what was sent before is sent one by one. */
function cut(t: Tcb, usable: u32, full: u32): u32 {
  const card = localCard();
  if (card == NO_CARD || card.segmentsBytesMax == 0) return full;
  const most = card.segmentsBytesMax - HEADERS - (t.hasTimestamps ? TIMESTAMP_BYTES : 0);
  const bytes = min(usable, most);
  return bytes - (bytes % full);
}

/**
 * Sends the next new segment though the network's window or Nagle do not allow it. Returns false if
 * there is none, or the peer's window has no room for it.
 */
export function sendBeyond(s: Socket): bool {
  const t = tcbOf(s);
  const left = <i32>(t.end - t.nxt);
  if (left <= 0) return false;
  const bytes = min<u32>(left, fullSegment(t));
  return t.nxt + bytes - t.una <= t.wnd && hasSendRoom(s.iface) && sendData(s, t, bytes);
}

/** TC44: sends what was held back, though it is little. */
export function sendHeldBack(s: Socket): void {
  const t = tcbOf(s);
  const bytes = min(min(t.wnd, t.end - t.nxt), fullSegment(t));
  if (t.una == t.nxt && bytes != 0 && hasSendRoom(s.iface)) sendData(s, t, bytes);
}
