// Losses, and bytes that are still on their way, as the board tells of them (RFC 6675, 4).
import { isAfter, isBefore, later } from "./sequence";
import { Board, boardOf, bytesFrom, fromAt, sackedBefore, toAt } from "./scoreboard";
import { Tcb } from "./tcb";

/**
 * RFC 6675, 2: ranges above a hole that tell of its loss; or more bytes than one fewer segments.
 */
const LOSS_RANGES: u32 = 3;

/**
 * A recovery begins; its first segment, up to `resentTo`, is sent again whatever the board says.
 */
export function startBoard(t: Tcb, resentTo: u32): void {
  boardOf(t).resentTo = resentTo;
  boardOf(t).resentTop = t.top;
  boardOf(t).rescued = false;
}

/**
 * Was the first hole sent again in vain? The peer has segments that were sent after it, as many as
 * tell of a loss.
 */
export function isFirstLostAgain(t: Tcb): bool {
  const b = boardOf(t);
  if (b.count == 0 || !isAfter(b.resentTo, t.una)) return false;
  return <i32>(toAt(b, b.count - 1) - b.resentTop) > <i32>((LOSS_RANGES - 1) * t.mss);
}

/** The first hole is sent again, once more. */
export function noteFirstResent(t: Tcb): void {
  boardOf(t).resentTop = t.top;
}

/** Is the first byte that is missing lost, as far as the board tells? */
export function isFirstLost(t: Tcb): bool {
  if (t.board == 0 || boardOf(t).count == 0) return false;
  const b = boardOf(t);
  return isLost(t, b.count, bytesFrom(b, 0));
}

/** RFC 6675, 4, IsLost(): `ranges` ranges of `bytes` bytes are above it. */
function isLost(t: Tcb, ranges: u32, bytes: u32): bool {
  return ranges >= LOSS_RANGES || bytes > (LOSS_RANGES - 1) * t.mss;
}

/** Bytes that are on their way, as far as we can tell. */
export function pipeOf(t: Tcb): u32 {
  if (t.board == 0) return t.nxt - t.una;
  return t.isRecovering ? recoveryPipe(t, boardOf(t)) : t.nxt - t.una - sackedBefore(t, t.nxt);
}

/** RFC 6675, 4, SetPipe(): from the highest hole down. */
function recoveryPipe(t: Tcb, b: Board): u32 {
  let pipe: u32 = 0;
  let bytes: u32 = 0;
  let end = t.top;
  for (let i = <i32>b.count; i >= 0; i--) {
    const from = i == 0 ? t.una : toAt(b, i - 1);
    if (!isLost(t, b.count - i, bytes)) pipe += end - from;
    if (isAfter(b.resentTo, from)) pipe += min(b.resentTo - from, end - from);
    if (i == 0) break;
    bytes += toAt(b, i - 1) - fromAt(b, i - 1);
    end = fromAt(b, i - 1);
  }
  return pipe;
}

/** Where the hole that nextHole() found begins. */
export let holeAt: u32 = 0;

/**
 * Finds the first hole that was not sent again in this recovery, and lies before a range. Without
 * `isCertain` it need not be lost (RFC 6675, 4, NextSeg(), rules 1 and 3). Returns its bytes, or 0.
 */
export function nextHole(t: Tcb, isCertain: bool): u32 {
  const b = boardOf(t);
  for (let i: u32 = 0; i < b.count; i++) {
    holeAt = later(i == 0 ? t.una : toAt(b, i - 1), b.resentTo);
    if (!isBefore(holeAt, fromAt(b, i))) continue;
    if (isCertain && !isLost(t, b.count - i, bytesFrom(b, i))) return 0;
    return fromAt(b, i) - holeAt;
  }
  return 0;
}

/** A part of the hole that nextHole() found was sent again, up to `end`. */
export function noteResent(t: Tcb, end: u32): void {
  boardOf(t).resentTo = end;
}

/**
 * NextSeg(), rule 4: once in a recovery the end of what is in flight, from holeAt on, may be sent
 * again though nothing says that it is lost. Returns its bytes, `most` at most, or 0.
 */
export function takeRescue(t: Tcb, most: u32): u32 {
  const b = boardOf(t);
  const from = b.count == 0 ? t.una : toAt(b, b.count - 1);
  if (b.rescued || from == t.top) return 0;
  b.rescued = true;
  holeAt = later(from, t.top - min(most, t.top - t.una));
  return t.top - holeAt;
}
