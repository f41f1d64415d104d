// The bytes in flight that the peer has beyond its acknowledgement, as its SACK blocks say
// (RFC 6675, 3 and 4). A board exists while there is something on it.
import { loadBe32 } from "../bytes";
import { ToroFreeMem, ToroGetMem } from "../../../memory";
import { isAfter, isBefore, later } from "./sequence";
import { Segment } from "./segment";
import { Tcb } from "./tcb";

@unmanaged
export class Board {
  count: u32; // of ranges, which follow: from, to; in order, with holes between them
  resentTo: u32; // HighRxt: holes before it were sent again in this recovery
  resentTop: u32; // after all that was sent when the first hole was sent again last
  rescued: bool; // the last segment was, though nothing says that it is lost
}

/** Ranges of one connection: with more the peer's block is dropped, and it says so again. */
const RANGES_MAX: u32 = 32;
const RANGE_BYTES: u32 = 8;

/** There is one: t.board is not 0. */
export function boardOf(t: Tcb): Board {
  return changetype<Board>(t.board);
}

function rangeAt(b: Board, i: u32): usize {
  return changetype<usize>(b) + offsetof<Board>() + i * RANGE_BYTES;
}

/** Where range `i` begins. */
export function fromAt(b: Board, i: u32): u32 {
  return load<u32>(rangeAt(b, i));
}

/** The number after range `i`. */
export function toAt(b: Board, i: u32): u32 {
  return load<u32>(rangeAt(b, i), 4);
}

/**
 * Notes the blocks of a segment that lie in flight; others are D-SACK (RFC 2883), or made up.
 * Returns true when the peer has something that it did not have before.
 */
export function takeBlocks(t: Tcb, g: Segment): bool {
  let isNews = false;
  for (let i: u32 = 0; i < g.blocks; i++) {
    const from = loadBe32(g.blocksAt + (i << 3), 0);
    const to = loadBe32(g.blocksAt + (i << 3), 4);
    if (!isAfter(from, t.una) || !isBefore(from, to) || isAfter(to, t.top)) continue;
    if (t.board != 0 || createBoard(t)) isNews = addRange(boardOf(t), from, to) || isNews;
  }
  return isNews;
}

/** NewReno goes on without a board until its recovery is over: the windows differ. */
function createBoard(t: Tcb): bool {
  if (t.isRecovering) return false;
  t.board = ToroGetMem(offsetof<Board>() + RANGES_MAX * RANGE_BYTES);
  if (t.board == 0) return false;
  const b = boardOf(t);
  b.count = 0;
  b.resentTo = t.una;
  b.rescued = false;
  return true;
}

/** Nothing on the board counts any more. */
export function dropBoard(t: Tcb): void {
  if (t.board != 0) ToroFreeMem(t.board);
  t.board = 0;
}

/** Adds [from, to), joined with all that it touches. Returns true when a part of it is new. */
function addRange(b: Board, from: u32, to: u32): bool {
  let first: u32 = 0;
  while (first < b.count && isBefore(toAt(b, first), from)) first++;
  let after = first;
  let known: u32 = 0;
  let start = from;
  let end = to;
  for (; after < b.count && !isAfter(fromAt(b, after), to); after++) {
    known += toAt(b, after) - fromAt(b, after);
    if (isBefore(fromAt(b, after), start)) start = fromAt(b, after);
    end = later(end, toAt(b, after));
  }
  if (first == after && b.count == RANGES_MAX) return true;
  const moved = (b.count - after) * RANGE_BYTES;
  memory.copy(rangeAt(b, first + 1), rangeAt(b, after), moved);
  b.count = b.count + 1 + first - after;
  store<u32>(rangeAt(b, first), start);
  store<u32>(rangeAt(b, first), end, 4);
  return end - start != known;
}

/**
 * The peer has acknowledged up to t.una. A range that begins there, or before, is one that it has
 * thrown away (RFC 2018, 8): nothing on the board counts any more.
 */
export function advanceBoard(t: Tcb): void {
  if (t.board == 0) return;
  const b = boardOf(t);
  let gone: u32 = 0;
  while (gone < b.count && !isAfter(toAt(b, gone), t.una)) gone++;
  b.count -= gone;
  memory.copy(rangeAt(b, 0), rangeAt(b, gone), b.count * RANGE_BYTES);
  b.resentTo = later(b.resentTo, t.una);
  b.resentTop = t.top; // of the new first hole: that, or earlier
  if (b.count != 0 && !isAfter(fromAt(b, 0), t.una)) b.count = 0;
  if (b.count == 0 && !t.isRecovering) dropBoard(t);
}

/** Bytes of the ranges from number `i` on. */
export function bytesFrom(b: Board, i: u32): u32 {
  let bytes: u32 = 0;
  for (let k = i; k < b.count; k++) bytes += toAt(b, k) - fromAt(b, k);
  return bytes;
}

/** Bytes before `end` that the peer has beyond its acknowledgement. There is a board. */
export function sackedBefore(t: Tcb, end: u32): u32 {
  const b = boardOf(t);
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < b.count && isBefore(fromAt(b, i), end); i++) {
    bytes += min(toAt(b, i) - fromAt(b, i), end - fromAt(b, i));
  }
  return bytes;
}

/** The first byte from `seq` on that the peer may lack. */
export function skipSacked(t: Tcb, seq: u32): u32 {
  if (t.board == 0) return seq;
  const b = boardOf(t);
  for (let i: u32 = 0; i < b.count; i++) {
    if (isBefore(seq, fromAt(b, i))) return seq;
    if (isBefore(seq, toAt(b, i))) return toAt(b, i);
  }
  return seq;
}

/** Bytes from `seq` on before the next one that the peer has, `most` at most. */
export function unsackedFrom(t: Tcb, seq: u32, most: u32): u32 {
  if (t.board == 0) return most;
  const b = boardOf(t);
  for (let i: u32 = 0; i < b.count; i++) {
    if (isAfter(fromAt(b, i), seq)) return min(most, fromAt(b, i) - seq);
  }
  return most;
}
