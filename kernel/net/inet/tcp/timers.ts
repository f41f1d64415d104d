// The two timers of a connection: one for the thing that is due next, one for a delayed
// acknowledgement. Neither runs while nothing is outstanding, so an idle machine sleeps. What they
// do when they fire is in expiry.ts.
import { NEVER, nowNs, NS_PER_MS } from "../../../clock";
import { reserveTimer, startTimer, stopTimer, unreserveTimer } from "../../../timer";
import { Socket, timerOf } from "../../socket/socket";
import { afterMs, afterUs } from "./clocks";
import { probeUs } from "./tail-probe";
import { delayedTimerOf, tcbOf, TcpState, TimerKind } from "./tcb";

/** TC47 */
const DELAYED_ACK_MS: u32 = 40;
/** TC29: how long a connection without an owner waits for the peer's FIN. */
const FIN_WAIT_2_MS: u32 = 60_000;

/** A new socket; `fired` and `delayed` are table indices of (arg: usize): void. 0 or -ENOMEM. */
export function openTimers(s: Socket, fired: u32, delayed: u32): i32 {
  const reserved = reserveTimer();
  if (reserved < 0) return reserved;
  const acknowledgement = delayedTimerOf(s);
  acknowledgement.handler = delayed;
  acknowledgement.arg = changetype<usize>(s);
  timerOf(s).handler = fired;
  return 0;
}

/** The connection is over. */
export function stopTimers(s: Socket): void {
  stopTimer(timerOf(s));
  stopTimer(delayedTimerOf(s));
  tcbOf(s).timerKind = TimerKind.None;
}

/** The socket goes away. */
export function closeTimers(s: Socket): void {
  stopTimers(s);
  unreserveTimer();
}

/** The connection's timer fires at `atNs`, for `kind` alone. */
export function startFor(s: Socket, kind: TimerKind, atNs: u64): void {
  tcbOf(s).timerKind = kind;
  startTimer(timerOf(s), atNs);
}

/** Something is in flight, or was to be: waits for its acknowledgement, anew. */
export function startRetransmit(s: Socket): void {
  const t = tcbOf(s);
  const us = probeUs(t);
  t.isProbeDue = us != 0;
  const atNs = afterUs(t.isProbeDue ? us : t.rto);
  const isConnecting = t.state == TcpState.SynSent;
  startFor(s, TimerKind.Retransmit, isConnecting ? min(atNs, t.connectUntilNs) : atNs);
}

/** More is in flight: a probe may be due before what the timer runs for. */
export function hastenProbe(s: Socket): void {
  const us = probeUs(tcbOf(s));
  if (us == 0 || afterUs(us) >= timerOf(s).deadlineNs) return;
  tcbOf(s).isProbeDue = true;
  startFor(s, TimerKind.Retransmit, afterUs(us));
}

/** The window is too small for what waits. */
export function startPersist(s: Socket): void {
  if (tcbOf(s).timerKind == TimerKind.Persist) return;
  startFor(s, TimerKind.Persist, afterUs(tcbOf(s).rto));
}

/** Nothing is in flight any more. */
export function rest(s: Socket): void {
  const t = tcbOf(s);
  t.retries = 0;
  if (t.state == TcpState.FinWait2 && s.handle == 0) {
    if (t.timerKind != TimerKind.FinWait2) startFor(s, TimerKind.FinWait2, afterMs(FIN_WAIT_2_MS));
  } else if (t.keepsAlive && t.state >= TcpState.Established) {
    startFor(s, TimerKind.KeepAlive, afterMs(t.keepIdleMs));
  } else {
    startFor(s, TimerKind.None, NEVER);
  }
}

/** An acknowledgement is due, but may wait for company. */
export function delayAck(s: Socket): void {
  const timer = delayedTimerOf(s);
  if (timer.place == 0) startTimer(timer, nowNs() + <u64>DELAYED_ACK_MS * NS_PER_MS);
}
