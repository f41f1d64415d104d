// The segments of a connection: each is made for this transmission, with the numbers, the window
// and the timestamps of now. When one is due is decided elsewhere (output.ts, recovery.ts,
// expiry.ts).
import { TH_ACK, TH_FIN, TH_PUSH, TH_RST } from "../../../../abi/tcp";
import { stopTimer } from "../../../timer";
import { hasSendRoom } from "../../link/interface";
import { SendMode } from "../../socket/settings";
import { Socket, statsOf } from "../../socket/socket";
import { localMtu } from "../local";
import { nowMs, nowUs } from "./clocks";
import { COPIED_MAX, listable, sendCopied, sendEmpty, sendPayload } from "./emit";
import { Header, newHeader } from "./header";
import { addBlocks } from "./sack";
import { findByte, foundChunk } from "./send-queue";
import { isBefore, later } from "./sequence";
import { delayedTimerOf, Tcb, tcbOf, TimerKind } from "./tcb";
import { startRetransmit } from "./timers";
import { windowToAdvertise } from "./window";

/** Bytes of the timestamps option in each segment. */
export const TIMESTAMP_BYTES: u32 = 12;
/** TCP and IP headers without options. */
export const HEADERS: u32 = 40;
/** The window of a peer that has next to none does not shrink our segments further. */
const SEGMENT_MIN: u32 = 88;

/**
 * Payload bytes of a full segment: at most half of the largest window, so that two of them can be
 * in flight, and the peer acknowledges the first when it has the second. A new lease may have
 * brought a smaller MTU.
 */
export function fullSegment(t: Tcb): u32 {
  const fits = localMtu() - HEADERS - (t.hasTimestamps ? TIMESTAMP_BYTES : 0);
  return min(min(t.mss, fits), max(t.wndMax >> 1, SEGMENT_MIN));
}

/**
 * Sends up to `wanted` bytes of the queue from t.nxt on, and the FIN if it follows them; there is
 * room in the ring. Returns false when it cannot now: then the timer tries again.
 */
export function sendData(s: Socket, t: Tcb, wanted: u32): bool {
  const full = fullSegment(t);
  findByte(t, t.una, t.nxt);
  const bytes = whole(takeable(s, wanted), wanted, full);
  const isLast = t.nxt + bytes == t.end;
  const withFin = isLast && t.isFinQueued;
  const h = headerFor(s, t, t.nxt, flagsOf(isLast, withFin));
  if (bytes > full) h.segmentBytes = full;
  if (sendFound(s, h, bytes) < 0) {
    startRetransmit(s); // as if it was lost
    return false;
  }
  if (isBefore(t.nxt, t.top)) t.retransmits++;
  else timeSegment(t);
  if (t.una == t.top) t.waitingMs = nowMs();
  t.sentMs = nowMs();
  t.nxt += bytes + (withFin ? 1 : 0);
  sent(s, t, h, t.nxt);
  if (t.timerKind != TimerKind.Retransmit) startRetransmit(s);
  return true;
}

/** NZ5: are the bytes copied a second time? Never those of a buffer that is sent in place. */
function isCopiedAgain(s: Socket): bool {
  return s.sendMode == SendMode.TwoCopy && foundChunk.buffers == 0;
}

/** Of `wanted` bytes from the found one on: those that one segment can take. */
function takeable(s: Socket, wanted: u32): u32 {
  return isCopiedAgain(s) ? min(wanted, COPIED_MAX) : listable(wanted);
}

function sendFound(s: Socket, h: Header, bytes: u32): i32 {
  return isCopiedAgain(s) ? sendCopied(h, bytes, statsOf(s)) : sendPayload(h, bytes);
}

/** A packet that lists many segments ends with a full one. */
function whole(listed: u32, wanted: u32, full: u32): u32 {
  return listed < wanted && listed > full ? listed - (listed % full) : listed;
}

function flagsOf(isLast: bool, withFin: bool): u32 {
  return TH_ACK | (isLast ? TH_PUSH : 0) | (withFin ? TH_FIN : 0);
}

/** Without timestamps one segment of a flight is timed, unless it was sent twice (Karn). */
function timeSegment(t: Tcb): void {
  if (t.hasTimestamps || t.isTimed) return;
  t.isTimed = true;
  t.timed = t.nxt;
  t.timedUs = nowUs();
}

/**
 * Sends the FIN; there is room in the ring. Returns false when it cannot: the timer tries again.
 */
export function sendFin(s: Socket, t: Tcb): bool {
  const h = headerFor(s, t, t.nxt, TH_FIN | TH_ACK);
  if (sendEmpty(h) < 0) {
    startRetransmit(s);
    return false;
  }
  if (isBefore(t.nxt, t.top)) t.retransmits++;
  if (t.una == t.top) t.waitingMs = nowMs();
  t.nxt++;
  sent(s, t, h, t.nxt);
  if (t.timerKind != TimerKind.Retransmit) startRetransmit(s);
  return true;
}

/**
 * Sends one segment again, of what is in flight from `seq` on, `most` bytes at most, whatever the
 * window is. Returns the number after it, or `seq` if it was not sent.
 */
export function resendFrom(s: Socket, seq: u32, most: u32): u32 {
  const t = tcbOf(s);
  if (!isBefore(seq, t.top) || !hasSendRoom(s.iface)) return seq;
  t.isTimed = false;
  const queued = <i32>(t.end - seq);
  if (queued <= 0) return resendFin(s, t, seq);
  findByte(t, t.una, seq);
  const bytes = takeable(s, min(min(<u32>queued, most), min(t.top - seq, fullSegment(t))));
  const isLast = bytes == <u32>queued;
  const withFin = isLast && t.isFinQueued && t.top == t.end + 1;
  const h = headerFor(s, t, seq, flagsOf(isLast, withFin));
  if (sendFound(s, h, bytes) < 0) return seq;
  t.retransmits++;
  const end = seq + bytes + (withFin ? 1 : 0);
  sent(s, t, h, end);
  return end;
}

function resendFin(s: Socket, t: Tcb, seq: u32): u32 {
  const h = headerFor(s, t, seq, TH_FIN | TH_ACK);
  if (sendEmpty(h) < 0) return seq;
  t.retransmits++;
  sent(s, t, h, seq + 1);
  return seq + 1;
}

/** TC43: sends one byte that the window does not allow. */
export function probe(s: Socket): void {
  const t = tcbOf(s);
  if (t.end == t.una || !hasSendRoom(s.iface)) return;
  findByte(t, t.una, t.una);
  const h = headerFor(s, t, t.una, TH_ACK);
  if (sendFound(s, h, 1) < 0) return;
  t.probesSent++;
  sent(s, t, h, t.una + 1);
}

/**
 * Sends an acknowledgement now. Its number is after all that was ever sent, for the peer ignores
 * what lies before its window (RFC 9293, 3.10.7.4); but not after the byte of a probe, which is
 * beyond the window.
 */
export function acknowledge(s: Socket): void {
  const t = tcbOf(s);
  sendBare(s, t.timerKind == TimerKind.Persist ? t.nxt : t.top);
}

/** TC50: the peer has had all of it before, so it answers. */
export function sendKeepAlive(s: Socket): void {
  tcbOf(s).probesSent++;
  sendBare(s, tcbOf(s).una - 1);
}

function sendBare(s: Socket, seq: u32): void {
  const t = tcbOf(s);
  const h = headerFor(s, t, seq, TH_ACK);
  if (t.hasSack) addBlocks(s, h);
  if (sendEmpty(h) == 0) sent(s, t, h, t.una);
}

/** Tells the peer that the connection is gone. */
export function sendReset(s: Socket): void {
  const t = tcbOf(s);
  sendEmpty(headerFor(s, t, t.top, TH_RST | TH_ACK));
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

/** A segment up to number `end`, with the present acknowledgement, has left. */
function sent(s: Socket, t: Tcb, h: Header, end: u32): void {
  t.top = later(t.top, end);
  t.segmentsOut++;
  t.lastAck = h.ack;
  t.isAckDue = t.isAckLate = false;
  t.unacked = 0;
  stopTimer(delayedTimerOf(s));
}
