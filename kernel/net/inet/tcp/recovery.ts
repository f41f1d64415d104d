// Recovery of losses that duplicate acknowledgements tell of: with a board by RFC 6675, without one
// by RFC 6582. What is to be sent in a recovery beside new data is decided here.
import { hasSendRoom } from "../../link/interface";
import { Socket } from "../../socket/socket";
import { addDue } from "./batch";
import { DUP_ACKS, enterRecovery, inflate, lowerAgain } from "./congestion";
import {
  holeAt,
  isFirstLost,
  isFirstLostAgain,
  nextHole,
  noteFirstResent,
  noteResent,
  pipeOf,
  startBoard,
  takeRescue,
} from "./holes";
import { unsackedFrom } from "./scoreboard";
import { earlier } from "./sequence";
import { hasProbeArrived } from "./tail-probe";
import { Tcb } from "./tcb";
import { startRetransmit } from "./timers";
import { fullSegment, resendFrom } from "./transmit";

/** The peer has got something, and lacks what is before it (RFC 5681, 3.2; RFC 6675, 5). */
export function duplicate(s: Socket, t: Tcb): void {
  t.dupAcks++;
  addDue(s);
  if (t.isRecovering) {
    if (t.board == 0) inflate(t);
    else if (isFirstLostAgain(t)) resendFirst(s, t);
  } else if ((t.dupAcks >= DUP_ACKS || isFirstLost(t) || hasProbeArrived(t)) && enterRecovery(t)) {
    if (t.isProbeDue) startRetransmit(s);
    const end = resendFrom(s, t.una, unsackedFrom(t, t.una, fullSegment(t)));
    if (t.board != 0) startBoard(t, end);
  }
}

function resendFirst(s: Socket, t: Tcb): void {
  lowerAgain(t);
  resendFrom(s, t.una, unsackedFrom(t, t.una, fullSegment(t)));
  noteFirstResent(t);
}

/** An acknowledgement in a recovery has brought news of one more loss. */
export function recoverNext(s: Socket, t: Tcb): void {
  if (t.board == 0) resendFrom(s, t.una, fullSegment(t));
}

/** Is there a recovery whose holes are known? */
export function isRecoveringHoles(t: Tcb): bool {
  return t.isRecovering && t.board != 0;
}

function mayResend(s: Socket, t: Tcb): bool {
  return pipeOf(t) + fullSegment(t) <= t.cwnd && hasSendRoom(s.iface);
}

/** Sends a segment of a hole that is lost. Returns false when there is none to be sent now. */
export function sendHole(s: Socket, t: Tcb): bool {
  return mayResend(s, t) && resendHole(s, t, true);
}

/**
 * There is room, and no new data may be sent: sends a segment that may be lost, or once the last
 * one, whose loss nothing else would tell of. Returns false when there is none to be sent now.
 */
export function sendUncertain(s: Socket, t: Tcb): bool {
  if (!mayResend(s, t)) return false;
  if (resendHole(s, t, false)) return true;
  const bytes = takeRescue(t, fullSegment(t));
  if (bytes != 0) resendFrom(s, holeAt, bytes);
  return false;
}

function resendHole(s: Socket, t: Tcb, isCertain: bool): bool {
  const bytes = nextHole(t, isCertain);
  if (bytes == 0) return false;
  const from = holeAt;
  const end = resendFrom(s, from, bytes);
  if (end == from) return false;
  noteResent(t, earlier(end, from + bytes));
  return true;
}
