// The acknowledgement in a segment that has arrived (RFC 9293, 3.10.7.4, fifth): what it frees,
// what it says of losses, and the window that it brings.
import { wakeAll } from "../../../scheduler";
import { leastToSend } from "../../socket/send-buffer";
import { creditOf } from "../../socket/credit";
import { Socket, writersOf } from "../../socket/socket";
import { addDue } from "./batch";
import { nowMs, nowUs } from "./clocks";
import { advanceRecovery, growCongestion } from "./congestion";
import { enterTcpState, endConnection, enterTimeWait } from "./life";
import { duplicate, recoverNext } from "./recovery";
import { addEcho, addRoundTrip, restoreTimeout } from "./round-trip";
import { advanceBoard, takeBlocks } from "./scoreboard";
import { limitSend } from "./send";
import { dropAcknowledged } from "./send-queue";
import { lengthOf, Segment } from "./segment";
import { isAfter, isBefore, later } from "./sequence";
import { takeProbeAnswer } from "./tail-probe";
import { Tcb, tcbOf, TcpState, TimerKind } from "./tcb";
import { rest, startRetransmit } from "./timers";

/** Takes an acknowledgement in (una - a window, top]. Returns false when the connection is over. */
export function receiveAck(s: Socket, g: Segment): bool {
  const t = tcbOf(s);
  const wasWindow = t.wnd;
  takeProbeAnswer(t, g);
  updateWindow(t, g);
  t.probes = 0; // TC43: the peer answers, so it lives
  if (isAfter(g.ack, t.una)) return acknowledgeNew(s, t, g);
  const isNews = t.hasSack && takeBlocks(t, g);
  if (t.wnd != wasWindow) windowChanged(s, t);
  if (isDuplicate(t, g, isNews, wasWindow)) duplicate(s, t);
  return true;
}

/**
 * RFC 5681, 2, or news by SACK (RFC 6675, 2). Answers to probes of a closed window say nothing of
 * losses.
 */
function isDuplicate(t: Tcb, g: Segment, isNews: bool, wasWindow: u32): bool {
  if (g.ack != t.una || t.timerKind != TimerKind.Retransmit) return false;
  if (t.hasSack && g.blocks != 0) return isNews;
  return lengthOf(g) == 0 && t.wnd == wasWindow;
}

/** Takes the window over, unless a newer segment has brought one. */
function updateWindow(t: Tcb, g: Segment): void {
  const isNewer =
    isBefore(t.wl1, g.seq) || (t.wl1 == g.seq && !isAfter(t.wl2, g.ack)) || isAfter(g.ack, t.una);
  if (!isNewer) return;
  t.wnd = g.window << t.sendShift;
  t.wndMax = max(t.wndMax, t.wnd);
  t.wl1 = g.seq;
  t.wl2 = g.ack;
}

function windowChanged(s: Socket, t: Tcb): void {
  if (t.timerKind == TimerKind.Persist && t.wnd != 0) rest(s);
  restoreTimeout(t);
  addDue(s);
}

function acknowledgeNew(s: Socket, t: Tcb, g: Segment): bool {
  const finIsAcked = t.isFinQueued && g.ack == t.end + 1;
  const bytes = g.ack - t.una - (finIsAcked ? 1 : 0);
  measure(t, g);
  t.una = g.ack;
  t.nxt = later(t.nxt, t.una);
  t.waitingMs = nowMs();
  dropAcknowledged(t, bytes);
  s.peerFwdCnt += bytes;
  t.retries = 0;
  advanceBoard(t);
  if (t.hasSack) takeBlocks(t, g);
  control(s, t, bytes);
  restoreTimeout(t);
  if (t.una == t.top) rest(s);
  else startRetransmit(s);
  limitSend(s);
  if (creditOf(s) >= leastToSend(s) || t.una == t.end) wakeAll(writersOf(s));
  addDue(s);
  return !finIsAcked || finAcknowledged(s, t);
}

/** The round trip that the acknowledgement completes (RFC 7323, 4.1; Karn). */
function measure(t: Tcb, g: Segment): void {
  if (t.hasTimestamps && g.hasTimestamps) {
    addEcho(t, g.tsEcr);
  } else if (t.isTimed && isAfter(g.ack, t.timed)) {
    t.isTimed = false;
    addRoundTrip(t, nowUs() - t.timedUs);
  }
}

function control(s: Socket, t: Tcb, bytes: u32): void {
  if (!t.isRecovering) {
    t.dupAcks = 0;
    growCongestion(t, bytes);
    return;
  }
  if (advanceRecovery(t, bytes)) return recoverNext(s, t);
  t.dupAcks = 0;
  advanceBoard(t); // it has no use any more if nothing is on it
}

/** Our FIN has been acknowledged. Returns false when the connection is over. */
function finAcknowledged(s: Socket, t: Tcb): bool {
  wakeAll(writersOf(s));
  switch (t.state) {
    case TcpState.FinWait1:
      enterTcpState(t, TcpState.FinWait2);
      rest(s);
      return true;
    case TcpState.Closing:
      enterTimeWait(s);
      return false;
    case TcpState.LastAck:
      endConnection(s, 0);
      return false;
    default:
      return true;
  }
}
