// What a connection sends, and when (RFC 9293, 3.8.6 and 3.10): data as far as both windows allow,
// in segments that are worth it, and acknowledgements.
import { TH_ACK, TH_FIN, TH_PUSH, TH_RST } from "../../../../abi/tcp";
import { stopTimer } from "../../../timer";
import { hasSendRoom } from "../../link/interface";
import { owe } from "../../socket/owed";
import { Socket } from "../../socket/socket";
import { localCard, NO_CARD } from "../local";
import { nowMs, nowUs } from "./clocks";
import { restartAfterIdle } from "./congestion";
import { Header, listable, newHeader, sendEmpty, sendPayload } from "./emit";
import { addBlocks } from "./sack";
import { findByte } from "./send-queue";
import { isBefore, later } from "./sequence";
import { delayedTimerOf, Tcb, tcbOf, TcpState, TimerKind } from "./tcb";
import { startRetransmit, startPersist } from "./timers";
import { windowToAdvertise } from "./window";

/** A bit of s.owed: the connection has something to send, and found no room. */
export const OWES_OUTPUT: u32 = 0;
/** Bytes of the timestamps option in each segment. */
const TIMESTAMP_BYTES: u32 = 12;
/** The window of a peer that has next to none does not shrink our segments further. */
const SEGMENT_MIN: u32 = 88;
/** TCP and IP headers without options, in the size of what a card cuts. */
const HEADERS: u32 = 40;

/**
 * Payload bytes of a full segment: at most half of the largest window, so that two of them can be
 * in flight, and the peer acknowledges the first when it has the second.
 */
export function fullSegment(t: Tcb): u32 {
  const full = t.hasTimestamps ? t.mss - TIMESTAMP_BYTES : t.mss;
  return min(full, max(t.wndMax >> 1, SEGMENT_MIN));
}

/** Sends all that the connection may send now, or owes it to the ring. */
export function output(s: Socket): void {
  const t = tcbOf(s);
  if (t.state < TcpState.Established) return;
  if (t.una == t.top && t.end != t.nxt) restartAfterIdle(t);
  while (sendNext(s, t)) {}
  if (!t.isAckDue) return;
  if (hasSendRoom(s.iface)) acknowledge(s);
  else owe(s, OWES_OUTPUT);
}

/** Sends the next segment. Returns false when there is none to be sent now. */
function sendNext(s: Socket, t: Tcb): bool {
  const left = <i32>(t.end - t.nxt);
  if (left < 0) return false; // the FIN is in flight
  if (left == 0) return t.isFinQueued && sendFin(s, t);
  const bytes = sendable(t, left);
  if (bytes == 0) {
    if (t.una == t.nxt) startPersist(s);
    return false;
  }
  if (!hasSendRoom(s.iface)) {
    owe(s, OWES_OUTPUT);
    return false;
  }
  return sendData(s, t, bytes);
}

/** Bytes that may be sent in one segment, if it is worth it; or 0. */
function sendable(t: Tcb, left: u32): u32 {
  const window = min(t.wnd, t.cwnd + limitedTransmit(t));
  const flight = t.nxt - t.una;
  if (window <= flight) return 0;
  const usable = min(left, window - flight);
  const full = fullSegment(t);
  if (usable >= full) return cut(t, usable, full);
  if (isBefore(t.nxt, t.top)) return usable; // it was sent before
  // TC44: all there is, unless Nagle holds it back, or half of the peer's buffer.
  if (usable == left && mayBeShort(t, flight)) return usable;
  return usable >= t.wndMax >> 1 && usable != left ? usable : 0;
}

/** TC46: may a segment that is not full be sent? */
function mayBeShort(t: Tcb, flight: u32): bool {
  return t.isFinQueued || (!t.isMore && (t.noDelay || t.isAwaited || flight == 0));
}

/** RFC 3042: the first two duplicates let one new segment go each. */
function limitedTransmit(t: Tcb): u32 {
  return t.isRecovering ? 0 : min<u32>(t.dupAcks, 2) * t.mss;
}

/** TC53: a card that cuts gets many segments at once; what was sent before is sent one by one. */
function cut(t: Tcb, usable: u32, full: u32): u32 {
  const card = localCard();
  if (card == NO_CARD || card.segmentsBytesMax == 0 || isBefore(t.nxt, t.top)) return full;
  const most = card.segmentsBytesMax - HEADERS - (t.hasTimestamps ? TIMESTAMP_BYTES : 0);
  const bytes = min(usable, most);
  return bytes - (bytes % full);
}

function sendData(s: Socket, t: Tcb, wanted: u32): bool {
  findByte(t, t.una, t.nxt);
  const bytes = listable(wanted);
  const isLast = t.nxt + bytes == t.end;
  const withFin = isLast && t.isFinQueued;
  let flags: u32 = TH_ACK;
  if (isLast) flags |= TH_PUSH;
  if (withFin) flags |= TH_FIN;
  const h = headerFor(s, t, t.nxt, flags);
  const full = fullSegment(t);
  if (bytes > full) h.segmentBytes = full;
  if (sendPayload(h, bytes) < 0) {
    startRetransmit(s); // as if it was lost
    return false;
  }
  const isNew = !isBefore(t.nxt, t.top);
  if (isNew) timeSegment(t);
  else t.retransmits++;
  t.sentMs = nowMs();
  t.nxt += bytes + (withFin ? 1 : 0);
  t.top = later(t.top, t.nxt);
  t.segmentsOut++;
  if (t.timerKind != TimerKind.Retransmit) startRetransmit(s);
  acknowledged(s, t, h.ack);
  return true;
}

/** Without timestamps one segment of a flight is timed, unless it was sent twice (Karn). */
function timeSegment(t: Tcb): void {
  if (t.hasTimestamps || t.isTimed) return;
  t.isTimed = true;
  t.timed = t.nxt;
  t.timedUs = nowUs();
}

function sendFin(s: Socket, t: Tcb): bool {
  if (!hasSendRoom(s.iface)) {
    owe(s, OWES_OUTPUT);
    return false;
  }
  const h = headerFor(s, t, t.nxt, TH_FIN | TH_ACK);
  if (sendEmpty(h) < 0) {
    startRetransmit(s);
    return false;
  }
  if (isBefore(t.nxt, t.top)) t.retransmits++;
  t.nxt++;
  t.top = later(t.top, t.nxt);
  t.segmentsOut++;
  if (t.timerKind != TimerKind.Retransmit) startRetransmit(s);
  acknowledged(s, t, h.ack);
  return true;
}

/**
 * Sends the first segment that is not acknowledged once more, whatever the window is, and nothing
 * else changes.
 */
export function retransmitFirst(s: Socket): void {
  const t = tcbOf(s);
  if (t.una == t.top || !hasSendRoom(s.iface)) return;
  const queued = t.end - t.una;
  t.retransmits++;
  t.isTimed = false;
  if (<i32>queued <= 0) {
    sendEmpty(headerFor(s, t, t.una, TH_FIN | TH_ACK));
    return;
  }
  findByte(t, t.una, t.una);
  const sent = min(queued, t.top - t.una);
  const bytes = listable(min(sent, fullSegment(t)));
  const withFin = t.isFinQueued && bytes == queued && t.top == t.end + 1;
  const h = headerFor(s, t, t.una, TH_ACK | (withFin ? TH_FIN | TH_PUSH : 0));
  if (sendPayload(h, bytes) < 0) return;
  t.segmentsOut++;
  acknowledged(s, t, h.ack);
}

/** TC43: sends one byte that the window does not allow. */
export function probe(s: Socket): void {
  const t = tcbOf(s);
  if (t.end == t.una || !hasSendRoom(s.iface)) return;
  findByte(t, t.una, t.una);
  const h = headerFor(s, t, t.una, TH_ACK);
  if (sendPayload(h, 1) < 0) return;
  t.probesSent++;
  t.segmentsOut++;
  t.top = later(t.top, t.una + 1);
  acknowledged(s, t, h.ack);
}

/** TC44: sends what was held back, though it is little. */
export function sendHeldBack(s: Socket): void {
  const t = tcbOf(s);
  const bytes = min(min(t.wnd, t.end - t.nxt), fullSegment(t));
  if (t.una == t.nxt && bytes != 0 && hasSendRoom(s.iface)) sendData(s, t, bytes);
}

/** Sends an acknowledgement now. */
export function acknowledge(s: Socket): void {
  sendBare(s, TH_ACK, tcbOf(s).nxt);
}

/** TC50: the peer has had all of it before, so it answers. */
export function sendKeepAlive(s: Socket): void {
  sendBare(s, TH_ACK, tcbOf(s).una - 1);
}

function sendBare(s: Socket, flags: u32, seq: u32): void {
  const t = tcbOf(s);
  const h = headerFor(s, t, seq, flags);
  if (t.hasSack) addBlocks(s, h);
  if (sendEmpty(h) < 0) return;
  t.segmentsOut++;
  acknowledged(s, t, h.ack);
}

/** Tells the peer that the connection is gone. */
export function sendReset(s: Socket): void {
  const t = tcbOf(s);
  sendEmpty(headerFor(s, t, t.nxt, TH_RST | TH_ACK));
}

/** A header with the connection's numbers, its window, and its timestamps. */
function headerFor(s: Socket, t: Tcb, seq: u32, flags: u32): Header {
  const h = newHeader(s.localPort, s.remoteAddress, s.remotePort);
  h.seq = seq;
  h.ack = t.rcvNxt;
  h.flags = flags;
  h.window = (flags & TH_RST) == 0 ? windowToAdvertise(s) : 0;
  h.hasTimestamps = t.hasTimestamps;
  h.tsVal = nowMs() + t.tsOffset;
  h.tsEcr = t.tsRecent;
  return h;
}

/** A segment with the present acknowledgement has left. */
function acknowledged(s: Socket, t: Tcb, ack: u32): void {
  t.lastAck = ack;
  t.isAckDue = false;
  t.unacked = 0;
  stopTimer(delayedTimerOf(s));
}
