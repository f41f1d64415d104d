// A timer of a connection fires: the connection sends again, asks whether the window is still
// closed, asks whether the peer still lives, or gives up.
import { Errno } from "../../../../abi/errno";
import { nowNs } from "../../../clock";
import { Socket } from "../../socket/socket";
import { ownAddress } from "../local";
import { afterMs, nowMs } from "./clocks";
import { abandonRecovery, collapse } from "./congestion";
import { sendSyn } from "./handshake";
import { endConnection } from "./life";
import { output, sendBeyond, sendHeldBack } from "./output";
import { doubleTimeout, restoreTimeout, startRoundTrips } from "./round-trip";
import { Probing, Tcb, tcbOf, TcpState, TimerKind } from "./tcb";
import { startFor, startPersist, startRetransmit } from "./timers";
import { fullSegment, probe, resendFrom, sendKeepAlive, sendReset } from "./transmit";

/** TC40: retransmissions of data, and of a SYN. */
const RETRIES_MAX: u8 = 15;
const SYN_RETRIES_MAX: u8 = 6;
/** TC43: probes of a closed window that nobody answers. */
const PROBES_MAX: u8 = 15;
/** Probes that are answered, of a connection whose application has closed it: it cannot wait. */
const ORPHAN_PROBES_MAX: u8 = 8;

/** The handler of the timer of a delayed acknowledgement. */
export function delayedAck(arg: usize): void {
  const s = changetype<Socket>(arg);
  tcbOf(s).isAckDue = true;
  output(s);
}

/** The handler of the connection's timer. */
export function fired(arg: usize): void {
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
  if (t.isProbeDue) return probeTail(s, t);
  if (t.retries++ == RETRIES_MAX || isTooLate(t)) return giveUp(s, Errno.ETIMEDOUT);
  doubleTimeout(t);
  collapse(t, t.retries == 1);
  t.isTimed = false;
  t.nxt = t.una;
  startRetransmit(s);
  output(s);
}

/** RFC 8985, 7.3: a new segment, or the last one again. After it the time-out runs. */
function probeTail(s: Socket, t: Tcb): void {
  if (t.nxt == t.top) {
    t.probing = !sendBeyond(s) && resendLast(s) ? Probing.Again : Probing.New;
    t.probeEnd = t.top;
  }
  startRetransmit(s);
}

function resendLast(s: Socket): bool {
  const t = tcbOf(s);
  const bytes = min(t.top - t.una, fullSegment(t));
  return resendFrom(s, t.top - bytes, bytes) == t.top;
}

/** Sends all that is in flight again; that the network lost it says nothing of its load. */
export function resend(s: Socket): void {
  const t = tcbOf(s);
  if (t.una == t.top) return;
  t.isTimed = false;
  abandonRecovery(t);
  t.retries = 0;
  if (t.state <= TcpState.SynReceived) {
    startRoundTrips(t);
    sendSyn(s);
  } else {
    t.nxt = t.una;
    restoreTimeout(t);
  }
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

/** TC51: TCP_USER_TIMEOUT (RFC 5482). */
function isTooLate(t: Tcb): bool {
  return t.userTimeoutMs != 0 && nowMs() - t.waitingMs >= t.userTimeoutMs;
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
  if (s.handle == 0 && t.retries++ == ORPHAN_PROBES_MAX) return giveUp(s, 0);
  if (t.probes == 0) t.waitingMs = nowMs(); // the one before was answered
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
    return startFor(s, TimerKind.KeepAlive, afterMs(t.keepIdleMs - quietMs));
  }
  if (t.keepAliveSent++ == t.keepCount) return giveUp(s, Errno.ETIMEDOUT);
  sendKeepAlive(s);
  startFor(s, TimerKind.KeepAlive, afterMs(t.keepIntervalMs));
}
