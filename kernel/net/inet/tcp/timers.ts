// The two timers of a connection: one for the thing that is due next, one for a delayed
// acknowledgement. Neither runs while nothing is outstanding, so an idle machine sleeps.
import { Errno } from "../../../../abi/errno";
import { NEVER, nowNs, NS_PER_MS } from "../../../clock";
import { reserveTimer, startTimer, stopTimer, unreserveTimer } from "../../../timer";
import { Socket, timerOf } from "../../socket/socket";
import { ownAddress } from "../local";
import { afterMs, afterUs, nowMs } from "./clocks";
import { collapse } from "./congestion";
import { sendSyn } from "./handshake";
import { endConnection } from "./life";
import { output, probe, sendHeldBack, sendKeepAlive, sendReset } from "./output";
import { doubleTimeout, restoreTimeout } from "./round-trip";
import { delayedTimerOf, Tcb, tcbOf, TcpState, TimerKind } from "./tcb";

/** TC40: retransmissions of data, and of a SYN. */
const RETRIES_MAX: u32 = 15;
const SYN_RETRIES_MAX: u32 = 6;
/** TC43: probes of a closed window that nobody answers. */
const PROBES_MAX: u32 = 15;
/** TC47 */
const DELAYED_ACK_MS: u32 = 40;
/** TC29: how long a connection without an owner waits for the peer's FIN. */
const FIN_WAIT_2_MS: u32 = 60_000;

export function openTimers(s: Socket): i32 {
  const reserved = reserveTimer();
  if (reserved < 0) return reserved;
  const delayed = delayedTimerOf(s);
  delayed.handler = (delayedAck as (arg: usize) => void).index;
  delayed.arg = changetype<usize>(s);
  timerOf(s).handler = (fired as (arg: usize) => void).index;
  return 0;
}

export function stopTimers(s: Socket): void {
  stopTimer(timerOf(s));
  stopTimer(delayedTimerOf(s));
  tcbOf(s).timerKind = TimerKind.None;
}

export function closeTimers(s: Socket): void {
  stopTimers(s);
  unreserveTimer();
}

function start(s: Socket, kind: TimerKind, atNs: u64): void {
  tcbOf(s).timerKind = kind;
  startTimer(timerOf(s), atNs);
}

/** Something is in flight, or was to be: waits for its acknowledgement, anew. */
export function startRetransmit(s: Socket): void {
  const t = tcbOf(s);
  const atNs = afterUs(t.rto);
  start(s, TimerKind.Retransmit, t.state == TcpState.SynSent ? min(atNs, t.connectUntilNs) : atNs);
}

/** The window is too small for what waits. */
export function startPersist(s: Socket): void {
  if (tcbOf(s).timerKind == TimerKind.Persist) return;
  start(s, TimerKind.Persist, afterUs(tcbOf(s).rto));
}

/** Nothing is in flight any more. */
export function rest(s: Socket): void {
  const t = tcbOf(s);
  t.retries = 0;
  if (t.state == TcpState.FinWait2 && s.handle == 0) {
    if (t.timerKind != TimerKind.FinWait2) start(s, TimerKind.FinWait2, afterMs(FIN_WAIT_2_MS));
  } else if (t.keepsAlive && t.state >= TcpState.Established) {
    start(s, TimerKind.KeepAlive, afterMs(t.keepIdleMs));
  } else {
    start(s, TimerKind.None, NEVER);
  }
}

/** An acknowledgement is due, but may wait for company. */
export function delayAck(s: Socket): void {
  const timer = delayedTimerOf(s);
  if (timer.place == 0) startTimer(timer, nowNs() + <u64>DELAYED_ACK_MS * NS_PER_MS);
}

function delayedAck(arg: usize): void {
  const s = changetype<Socket>(arg);
  tcbOf(s).isAckDue = true;
  output(s);
}

function fired(arg: usize): void {
  const s = changetype<Socket>(arg);
  const t = tcbOf(s);
  const kind = t.timerKind;
  t.timerKind = TimerKind.None;
  switch (kind) {
    case TimerKind.Retransmit:
      return retransmit(s, t);
    case TimerKind.Persist:
      return persist(s, t);
    case TimerKind.KeepAlive:
      return keepAlive(s, t);
    default:
      return endConnection(s, 0);
  }
}

/** TC40, TC41. */
function retransmit(s: Socket, t: Tcb): void {
  if (t.una == t.top) return output(s); // there was no memory, or no room
  if (t.state <= TcpState.SynReceived) return retrySyn(s, t);
  if (t.retries++ == RETRIES_MAX || isTooLate(t)) return giveUp(s, Errno.ETIMEDOUT);
  doubleTimeout(t);
  collapse(t, t.retries == 1);
  t.isTimed = false;
  t.nxt = t.una;
  startRetransmit(s);
  output(s);
}

/** What is in flight is sent again now; that the network lost it says nothing of its load. */
export function resend(s: Socket): void {
  const t = tcbOf(s);
  if (t.una == t.top) return;
  t.isTimed = false;
  if (t.state <= TcpState.SynReceived) sendSyn(s);
  else t.nxt = t.una;
  restoreTimeout(t);
  startRetransmit(s);
  output(s);
}

function retrySyn(s: Socket, t: Tcb): void {
  if (t.retries++ == SYN_RETRIES_MAX || nowNs() >= t.connectUntilNs) {
    return endConnection(s, ownAddress() == 0 ? Errno.EADDRNOTAVAIL : Errno.ETIMEDOUT);
  }
  doubleTimeout(t);
  sendSyn(s);
  startRetransmit(s);
}

/** TC51: TCP_USER_TIMEOUT. */
function isTooLate(t: Tcb): bool {
  return t.userTimeoutMs != 0 && nowMs() - t.heardMs >= t.userTimeoutMs;
}

function giveUp(s: Socket, error: i32): void {
  sendReset(s);
  endConnection(s, error);
}

/** TC43, TC44. */
function persist(s: Socket, t: Tcb): void {
  if (t.wnd != 0) {
    t.isMore = false;
    sendHeldBack(s);
    if (t.timerKind == TimerKind.None) startPersist(s); // no room or no memory
    return;
  }
  if (t.probes++ == PROBES_MAX || isTooLate(t)) return giveUp(s, Errno.ETIMEDOUT);
  probe(s);
  doubleTimeout(t);
  startPersist(s);
}

/** TC50. */
function keepAlive(s: Socket, t: Tcb): void {
  const quietMs = nowMs() - t.heardMs;
  if (quietMs < t.keepIdleMs) {
    t.keepAliveSent = 0;
    return start(s, TimerKind.KeepAlive, afterMs(t.keepIdleMs - quietMs));
  }
  if (t.keepAliveSent++ == t.keepCount) return giveUp(s, Errno.ETIMEDOUT);
  sendKeepAlive(s);
  start(s, TimerKind.KeepAlive, afterMs(t.keepIntervalMs));
}
