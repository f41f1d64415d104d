// How connections of TCP begin and end within this machine.
import { connectionGone } from "../../socket/end";
import { settleAll } from "../../socket/owed";
import { Socket } from "../../socket/socket";
import { dropDue } from "./batch";
import { dropGaps } from "./reassembly";
import { dropBoard } from "./scoreboard";
import { dropQueue } from "./send-queue";
import { Tcb, tcbOf, TcpState } from "./tcb";
import { stopTimers } from "./timers";
import { addTimeWait } from "./time-wait";

/** Changes the state: the only way to. */
export function enterTcpState(t: Tcb, state: TcpState): void {
  assert(((followersOf(t.state) >> state) & 1) != 0, "no such step");
  t.state = state;
}

/** The states that may follow, as a set (RFC 9293, figure 5). */
function followersOf(state: TcpState): u32 {
  const CLOSED: u32 = 1 << TcpState.Closed;
  switch (state) {
    case TcpState.Closed:
      return CLOSED | (1 << TcpState.SynSent) | (1 << TcpState.Established); // a half-open record
    case TcpState.SynSent:
      return CLOSED | (1 << TcpState.SynReceived) | (1 << TcpState.Established);
    case TcpState.SynReceived:
      return CLOSED | (1 << TcpState.Established);
    case TcpState.Established:
      return CLOSED | (1 << TcpState.FinWait1) | (1 << TcpState.CloseWait);
    case TcpState.FinWait1:
      return CLOSED | (1 << TcpState.FinWait2) | (1 << TcpState.Closing);
    case TcpState.CloseWait:
      return CLOSED | (1 << TcpState.LastAck);
    default:
      return CLOSED;
  }
}

/** The connection is over: its socket learns `error`, 0 for an end in order, or is destroyed. */
export function endConnection(s: Socket, error: i32): void {
  connectionGone(s, error); // calls releaseConnection()
}

/** Both directions have ended in order; the addresses rest in TIME-WAIT. */
export function enterTimeWait(s: Socket): void {
  addTimeWait(s);
  endConnection(s, 0);
}

/** Gives back all that the connection holds beside its socket. */
export function releaseConnection(s: Socket): void {
  const t = tcbOf(s);
  stopTimers(s);
  dropDue(s);
  dropGaps(s);
  dropQueue(t);
  dropBoard(t);
  settleAll(s);
  enterTcpState(t, TcpState.Closed);
  t.una = t.nxt = t.top = t.end = 0;
  t.isRecovering = false;
}

/** The application sends no more: a FIN follows all data. */
export function queueFin(t: Tcb): void {
  if (t.isFinQueued) return;
  t.isFinQueued = true;
  t.isMore = false;
  enterTcpState(t, t.state == TcpState.CloseWait ? TcpState.LastAck : TcpState.FinWait1);
}
