// The start of a connection that we ask for (RFC 9293, 3.10.7.3), and what both sides agree on.
import { TCP_MSS_DEFAULT, TH_ACK, TH_RST, TH_SYN } from "../../../../abi/tcp";
import { Errno } from "../../../../abi/errno";
import { deadlineAfterNs } from "../../../clock";
import { wakeAll } from "../../../scheduler";
import { readersOf, Socket, SocketState } from "../../socket/socket";
import { enterState } from "../../socket/state";
import { isExpected, localMtu } from "../local";
import { nowMs } from "./clocks";
import { abandonRecovery, startCongestion } from "./congestion";
import { sendEmpty } from "./emit";
import { newHeader } from "./header";
import { initialSequence, timestampOffset } from "./isn";
import { endConnection, enterTcpState } from "./life";
import { QUICK_ACKS } from "./receive";
import { sendRefusal } from "./refuse";
import { addEcho, startRoundTrips } from "./round-trip";
import { limitSend } from "./send";
import { Segment } from "./segment";
import { Tcb, tcbOf, TcpState } from "./tcb";
import { rest, startRetransmit } from "./timers";
import { shiftFor, WINDOW_MAX } from "./window";
import { isInTimeWait } from "./time-wait";
import { HEADERS, TIMESTAMP_BYTES } from "./transmit";
import { output } from "./output";
import { askForAck } from "./receive";

/** TC23: nobody makes us send a byte in a segment. */
const MSS_MIN: u32 = 88;

/** The payload of a segment that fits a frame to us. */
export function ownMss(): u32 {
  return localMtu() - HEADERS;
}

/** TC23: of segments to a peer that says `mss`, or nothing: 0. Timestamps take a part of it. */
export function mssFor(mss: u32, hasTimestamps: bool): u32 {
  const full = min(ownMss(), max(mss == 0 ? TCP_MSS_DEFAULT : mss, MSS_MIN));
  return hasTimestamps ? full - TIMESTAMP_BYTES : full;
}

/**
 * Begins to connect; the socket has its addresses. Returns 0, -EADDRINUSE, or an error of sendIp().
 * While DHCP looks for an address of ours, or without memory, the timer tries again.
 */
export function startHandshake(s: Socket): i32 {
  if (isInTimeWait(s.remoteAddress, s.localPort, s.remotePort)) return -Errno.EADDRINUSE;
  const t = tcbOf(s);
  t.iss = initialSequence(s.localPort, s.remoteAddress, s.remotePort);
  t.tsOffset = timestampOffset(s.localPort, s.remoteAddress, s.remotePort);
  t.una = t.iss;
  t.nxt = t.top = t.end = t.iss + 1;
  t.rcvNxt = t.edge = 0;
  t.wnd = t.wndMax = t.retries = t.probes = 0;
  t.hasFin = t.isFinQueued = t.isMore = t.isAwaited = false;
  t.mss = ownMss();
  t.receiveShift = shiftFor(s.windowMax);
  t.connectUntilNs = deadlineAfterNs(s.connectTimeoutNs);
  startRoundTrips(t);
  enterTcpState(t, TcpState.SynSent);
  const sent = sendSyn(s);
  if (sent == 0 || (sent == -Errno.EADDRNOTAVAIL && isExpected()) || sent == -Errno.ENOMEM) {
    startRetransmit(s);
    return 0;
  }
  enterTcpState(t, TcpState.Closed);
  return sent;
}

/** Sends our SYN, or with the peer's known our SYN and ACK. Returns 0 or an error. */
export function sendSyn(s: Socket): i32 {
  const t = tcbOf(s);
  const isAnswer = t.state == TcpState.SynReceived;
  const h = newHeader(s.localPort, s.remoteAddress, s.remotePort);
  h.seq = t.iss;
  h.ack = isAnswer ? t.rcvNxt : 0;
  h.flags = isAnswer ? TH_SYN | TH_ACK : TH_SYN;
  h.window = min(s.bufAlloc, WINDOW_MAX);
  h.mss = ownMss();
  h.shift = !isAnswer || t.sendShift != NO_SHIFT ? <i32>t.receiveShift : -1;
  h.hasSack = !isAnswer || t.hasSack;
  h.hasTimestamps = !isAnswer || t.hasTimestamps;
  h.tsVal = nowMs() + t.tsOffset;
  h.tsEcr = isAnswer ? t.tsRecent : 0;
  if (t.retries != 0) t.retransmits++;
  const sent = sendEmpty(h);
  if (sent == 0) t.segmentsOut++;
  return sent;
}

/** Of t.sendShift while our SYN is not acknowledged: the peer scales no windows. */
const NO_SHIFT: u8 = 255;

/** A segment for a socket in SYN-SENT. */
export function receiveSynSent(s: Socket, g: Segment): void {
  const t = tcbOf(s);
  const hasAck = (g.flags & TH_ACK) != 0;
  if (hasAck && g.ack != t.iss + 1) return sendRefusal(g);
  if ((g.flags & TH_RST) != 0) {
    if (hasAck) endConnection(s, Errno.ECONNREFUSED);
    return;
  }
  if ((g.flags & TH_SYN) == 0) return;
  takeSyn(s, g);
  if (!hasAck) {
    enterTcpState(t, TcpState.SynReceived); // both ask each other
    sendSyn(s);
    startRetransmit(s);
    return;
  }
  establish(s, g);
  askForAck(s, t);
}

/** Takes over what the peer's SYN says. */
function takeSyn(s: Socket, g: Segment): void {
  const t = tcbOf(s);
  t.irs = g.seq;
  t.rcvNxt = g.seq + 1;
  t.hasTimestamps = g.hasTimestamps;
  t.mss = mssFor(g.mss, t.hasTimestamps);
  t.hasSack = g.hasSack;
  t.sendShift = g.hasShift ? <u8>g.shift : NO_SHIFT;
  if (!g.hasShift) t.receiveShift = 0;
  t.tsRecent = g.tsVal;
  t.tsRecentMs = nowMs();
  t.edge = t.rcvNxt + min(s.bufAlloc, WINDOW_MAX);
}

/**
 * Both sides have asked each other, and the peer's answer to our SYN crosses ours: it repeats its
 * SYN, and only the acknowledgement is news (RFC 9293, figure 8).
 */
export function takeAnswer(t: Tcb, g: Segment): void {
  if (t.state != TcpState.SynReceived || g.seq != t.irs || (g.flags & TH_SYN) == 0) return;
  g.flags &= ~TH_SYN;
  g.seq++;
}

/** Our SYN is acknowledged: the connection stands. */
export function establish(s: Socket, g: Segment): void {
  const t = tcbOf(s);
  const wasLost = t.retries != 0;
  if (t.sendShift == NO_SHIFT) t.sendShift = 0;
  t.una = g.ack;
  t.nxt = t.top = t.end = t.iss + 1;
  measureSyn(t, g, wasLost);
  startCongestion(t, wasLost);
  startStream(s, g);
  enterTcpState(t, TcpState.Established);
  if (s.state == SocketState.Connecting) enterState(s, SocketState.Connected);
  rest(s);
  wakeAll(readersOf(s));
}

function measureSyn(t: Tcb, g: Segment, wasLost: bool): void {
  startRoundTrips(t);
  if (t.hasTimestamps && g.hasTimestamps) {
    addEcho(t, g.tsEcr);
  } else if (wasLost) {
    t.rto *= 3; // RFC 6298, 5.7: the SYN was lost, and nothing is measured
  }
}

/** The start of every connection, whoever asked for it. */
export function startStream(s: Socket, g: Segment): void {
  const t = tcbOf(s);
  // The window of a SYN is not scaled (RFC 7323, 2.2).
  t.wnd = (g.flags & TH_SYN) != 0 ? g.window : g.window << t.sendShift;
  t.wndMax = t.wnd;
  t.wl1 = g.seq;
  t.wl2 = g.ack;
  t.edge = t.rcvNxt + min(s.bufAlloc, WINDOW_MAX);
  t.lastAck = t.rcvNxt;
  t.quickAcks = QUICK_ACKS;
  t.heardMs = t.sentMs = t.waitingMs = nowMs();
  t.unacked = 0;
  t.probes = t.keepAliveSent = 0;
  t.isAckDue = t.isAckLate = false;
  t.dupFrom = t.dupTo = 0;
  limitSend(s);
}

/** TC9: the path takes packets of `mtu` bytes only. */
export function lowerMss(s: Socket, mtu: u32): void {
  const t = tcbOf(s);
  const mss = max(mtu, PATH_MTU_MIN) - HEADERS - (t.hasTimestamps ? TIMESTAMP_BYTES : 0);
  if (mss >= t.mss) return;
  t.mss = mss;
  if (t.state < TcpState.Established) return;
  abandonRecovery(t);
  t.nxt = t.una;
  t.isTimed = false;
  output(s);
}

const PATH_MTU_MIN: u32 = 576;
