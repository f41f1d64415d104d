// All connections, and which of them are given up when memory is short: those that have had their
// last answer; responses whose clients take nothing, the oldest stall first; then heads that do not
// end; then those that are idle.
import {
  heapBytes,
  IoVec,
  nowNs,
  NS_PER_S,
  SelectEntry,
  SO_RCVBUF,
  SysSocketReset,
  SysSocketSetOption,
  ToroAllocMem,
  ToroFreeMem,
} from "../../kernel/api";
import { Entry } from "./cache";
import { Event, note } from "./events";
import { Parked } from "./park";
import { Work } from "./work";

export const enum Phase {
  Idle, // opened, or answered: no byte of a request is there
  Head, // the first byte of a request has come
  Answering, // the head is whole
  Sending, // a response waits for its client
  Ending, // the last answer is sent; what the client still says is dropped
  Cut, // given up
}

@unmanaged
export class Connection {
  socket: i32;
  phase: Phase;
  sinceNs: u64; // in this phase; of Sending: without progress
  newer: Connection | null;
  older: Connection | null;
  work: Work; // NO_WORK: while it waits for its client
  parked: Parked | null; // bytes of requests, while it has no work
  // The response under way.
  keepAlive: bool;
  entry: Entry; // the file of its body; NO_ENTRY: it has none
  at: u64; // what is left of the file: [at, end)
  end: u64;
  // Its pace (pace.ts).
  grace: bool; // in the first interval
  paceNs: u64; // when the present interval began
  paceTaken: u32; // what the client had taken by then
  waiting: u32; // SIOCOUTQ at the last look
}

export const NO_CONNECTION: Connection = changetype<Connection>(0);
const VECTOR: usize = (offsetof<Connection>() + 7) & ~7;
const POLL: usize = VECTOR + 2 * offsetof<IoVec>();
const CONNECTION_BYTES: usize = POLL + offsetof<SelectEntry>();

/** What a connection takes at least, with its thread, socket and window. */
const BYTES_SHIFT: u64 = 14;
/** All windows together are a quarter of the heap: those that grew would leave none for others. */
const WINDOW_BYTES: u32 = 4096;
/** Places that are kept for clients to come. */
const SPARE: u32 = 32;
/** Who has not been waiting for so long is at work, and not to be missed. */
const STALL_NS: u64 = 2 * NS_PER_S;
/** Who has had the last answer for so long has read it, most likely. */
const ENDED_NS: u64 = NS_PER_S / 4;

let newest: Connection = NO_CONNECTION;
let count: u32 = 0;

/** Two buffers for a gather send. */
export function vectorOf(c: Connection): usize {
  return changetype<usize>(c) + VECTOR;
}

/** An entry for SysSocketSelect. */
export function pollOf(c: Connection): usize {
  return changetype<usize>(c) + POLL;
}

/** Null: no memory. closeConnection() takes it back. */
export function openConnection(socket: i32): Connection | null {
  const c = changetype<Connection>(ToroAllocMem(CONNECTION_BYTES));
  if (c == NO_CONNECTION) return null;
  c.socket = socket;
  SysSocketSetOption(socket, SO_RCVBUF, WINDOW_BYTES);
  c.older = newest == NO_CONNECTION ? null : newest;
  if (newest != NO_CONNECTION) newest.newer = c;
  newest = c;
  count++;
  enter(c, Phase.Idle);
  return c;
}

export function closeConnection(c: Connection): void {
  const newer = c.newer;
  const older = c.older;
  if (newer) newer.older = older;
  else newest = changetype<Connection>(changetype<usize>(older));
  if (older) older.newer = newer;
  count--;
  ToroFreeMem(changetype<usize>(c));
}

export function enter(c: Connection, phase: Phase): void {
  c.phase = phase;
  c.sinceNs = nowNs();
}

/** The newest one, or NO_CONNECTION; the others follow by nextConnection(). */
export function firstConnection(): Connection {
  return newest;
}

export function nextConnection(c: Connection): Connection {
  return changetype<Connection>(changetype<usize>(c.older));
}

/** As many connections as the memory is for. */
function mostConnections(): u32 {
  return <u32>min<u64>(heapBytes() >> BYTES_SHIFT, u32.MAX_VALUE);
}

/** Are there hardly places for more? */
export function isFull(): bool {
  return count + SPARE > mostConnections();
}

/** Are nine tenths of the places taken? */
export function isCrowded(): bool {
  return count > mostConnections() / 10 * 9;
}

/**
 * Resets the connection that can be missed most easily; its memory is free once its thread has had
 * its turn. Returns false if none is stalled. Does not yield.
 */
export function cutOne(): bool {
  const ended = longestIn(Phase.Ending, ENDED_NS);
  if (ended != NO_CONNECTION) return cut(ended, Event.CutEnding);
  if (cutStalled()) return true;
  const slow = longestIn(Phase.Head);
  if (slow != NO_CONNECTION) return cut(slow, Event.CutHead);
  const idle = longestIn(Phase.Idle);
  return idle != NO_CONNECTION && cut(idle, Event.CutIdle);
}

/**
 * Resets the response whose client has taken nothing for the longest time; false: none is stalled.
 */
export function cutStalled(): bool {
  const victim = longestIn(Phase.Sending);
  return victim != NO_CONNECTION && cut(victim, Event.CutStalled);
}

/** The one that has been in that phase for the longest time, and for `leastNs`. */
function longestIn(phase: Phase, leastNs: u64 = STALL_NS): Connection {
  let oldest = NO_CONNECTION;
  const before = nowNs() - leastNs;
  for (let c = newest; c != NO_CONNECTION; c = nextConnection(c)) {
    if (c.phase != phase || c.sinceNs > before) continue;
    if (oldest == NO_CONNECTION || c.sinceNs <= oldest.sinceNs) oldest = c;
  }
  return oldest;
}

/** Gives the connection up: its thread finds it reset. Returns true. */
export function cut(c: Connection, why: Event): bool {
  SysSocketReset(c.socket);
  c.phase = Phase.Cut; // no second time
  note(why);
  return true;
}
