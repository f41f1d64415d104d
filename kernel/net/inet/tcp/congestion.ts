// How much may be in flight (RFC 5681, counted in bytes by RFC 3465), and what a loss does to it
// (NewReno, RFC 6582, or with a board, RFC 6675).
import { nowMs } from "./clocks";
import { dropBoard } from "./scoreboard";
import { isBefore } from "./sequence";
import { Probing, Tcb } from "./tcb";

/** RFC 6928. */
const INITIAL_SEGMENTS: u32 = 10;
const INITIAL_BYTES: u32 = 14600;
/** RFC 5681, 3.2. */
export const DUP_ACKS: u32 = 3;
const US_PER_MS: u32 = 1000;

/** Bytes that the first flight may have. */
function initialWindow(t: Tcb): u32 {
  return min(INITIAL_SEGMENTS * t.mss, max(2 * t.mss, INITIAL_BYTES));
}

/** `wasLost`: the SYN or its answer had to be sent again, RFC 5681, 3.1. */
export function startCongestion(t: Tcb, wasLost: bool): void {
  t.cwnd = wasLost ? t.mss : initialWindow(t);
  t.ssthresh = u32.MAX_VALUE;
  t.credited = t.dupAcks = 0;
  t.isRecovering = false;
  t.probing = Probing.None;
  t.recover = t.iss;
}

function flightOf(t: Tcb): u32 {
  return t.top - t.una;
}

/**
 * `bytes` have been acknowledged, outside of a recovery. A window that is not used says nothing of
 * the network, so it does not grow (RFC 7661, 1).
 */
export function growCongestion(t: Tcb, bytes: u32): void {
  // The last loss must not seem to lie ahead when 2 GiB have been sent since.
  if (!isBefore(t.una, t.recover)) t.recover = t.una;
  if ((<u64>flightOf(t) + bytes) << 1 < <u64>t.cwnd) return;
  if (t.cwnd < t.ssthresh) {
    // RFC 3465: two segments for an acknowledgement, one after a time-out.
    t.cwnd += min(bytes, isBefore(t.una, t.recover) ? t.mss : 2 * t.mss);
    return;
  }
  t.credited += bytes;
  if (t.credited < t.cwnd) return;
  t.credited -= t.cwnd;
  t.cwnd += t.mss;
}

function halve(t: Tcb): void {
  t.ssthresh = max(flightOf(t) >> 1, 2 * t.mss);
}

/** The third duplicate acknowledgement: a segment is lost. Returns false if it is an old story. */
export function enterRecovery(t: Tcb): bool {
  // RFC 6582, 4.1: duplicates of what was sent twice do not tell.
  if (isBefore(t.una, t.recover)) return false;
  halve(t);
  t.recover = t.top;
  t.isRecovering = true;
  t.probing = Probing.None;
  t.cwnd = t.board == 0 ? t.ssthresh + DUP_ACKS * t.mss : t.ssthresh;
  return true;
}

/** RFC 5681, 4.3: the loss of what was sent again is another one. */
export function lowerAgain(t: Tcb): void {
  t.ssthresh = max(t.ssthresh >> 1, 2 * t.mss);
  t.recover = t.top;
  t.cwnd = t.ssthresh;
}

/** Another duplicate: one more segment has left the network. */
export function inflate(t: Tcb): void {
  t.cwnd += t.mss;
}

/** `bytes` were acknowledged in a recovery. Returns true when there is one more loss. */
export function advanceRecovery(t: Tcb, bytes: u32): bool {
  if (!isBefore(t.una, t.recover)) {
    t.isRecovering = false;
    // RFC 6582, 3.2, against a burst; with a board the pipe is as full as it may be.
    if (t.board == 0) t.cwnd = min(t.ssthresh, max(flightOf(t), t.mss) + t.mss);
    return false;
  }
  if (t.board != 0) return true; // RFC 6675 leaves the window as it is
  t.cwnd -= min(bytes, t.cwnd - t.mss);
  if (bytes >= t.mss) t.cwnd += t.mss;
  return true;
}

/** All that is in flight will be sent again from its start, for another reason than a loss. */
export function abandonRecovery(t: Tcb): void {
  if (t.isRecovering) t.cwnd = t.ssthresh;
  t.isRecovering = false;
  t.probing = Probing.None;
  t.dupAcks = 0;
  dropBoard(t);
}

/** TC41: nothing was acknowledged in time. `isFirst`: for what is lost now. */
export function collapse(t: Tcb, isFirst: bool): void {
  if (isFirst) halve(t);
  t.cwnd = t.mss;
  t.credited = t.dupAcks = 0;
  t.isRecovering = false;
  t.probing = Probing.None;
  t.recover = t.top;
}

/**
 * A loss has been repaired already. What is in flight now may be little, and says nothing of how
 * much was then, so it is the window that is halved.
 */
export function reduceWindow(t: Tcb): void {
  t.ssthresh = max(t.cwnd >> 1, 2 * t.mss);
  t.cwnd = min(t.cwnd, t.ssthresh);
  t.credited = 0;
}

/** RFC 5681, 4.1: after a pause the network may have changed. */
export function restartAfterIdle(t: Tcb): void {
  if (nowMs() - t.sentMs < t.rto / US_PER_MS) return;
  t.cwnd = min(t.cwnd, initialWindow(t));
}
