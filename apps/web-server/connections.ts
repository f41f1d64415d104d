// All connections, and the order in which they are cut when memory is short: connections that have
// had their last answer; responses whose clients take nothing, the oldest stall first; unfinished
// heads; idle connections.
import {
  AccessReason,
  heapBytes,
  IoVec,
  nowNs,
  NS_PER_S,
  SelectEntry,
  SO_RCVBUF,
  SysLogCut,
  SysSocketReset,
  SysSocketSetOption,
  ToroAllocMem,
  ToroFreeMem,
} from "torito/kernel/api";
import { Entry } from "./entry";
import { Event, note } from "./events";
import { Ending } from "./ending";
import { Parked } from "./park";
import { Parts } from "./parts";
import { Work } from "./work";

export const enum Phase {
  Idle, // opened, or answered: no byte of a request has come
  Head, // the first byte of a request has come, and not all that it is answered for
  Answering, // it has
  Sending, // a response waits for its client
  Ending, // the last answer is sent; data of the client are discarded
  Cut, // given up
}

@unmanaged
export class Connection {
  socket: i32;
  phase: Phase;
  sinceNs: u64; // in this phase; of Sending: without progress
  newer: Connection | null;
  older: Connection | null;
  work: Work; // NO_WORK while it waits for its client
  parked: Parked | null; // bytes of requests, while it has no work
  requests: u32; // that it has had
  startNs: u64; // when the head of the last one was whole
  // The request and the response under way.
  keepAlive: bool; // another one may follow
  bodyLeft: u64; // bytes of the request's body, to be dropped
  bodyUntilNs: u64; // by then
  joined: u32; // bytes of its body that follow its head in the output
  bodySent: u64; // bytes of its body that were handed over
  ending: Ending; // why it ended, once it has
  entry: Entry; // the file of its body; NO_ENTRY: it has none
  at: u64; // bytes [at, end) of the file are still to be sent
  end: u64;
  parts: Parts | null; // of the file, to be sent one after the other
  // Its pace (pace.ts).
  grace: bool; // in the first interval
  paceNs: u64; // start of the present interval
  paceTaken: u32; // bytes that the client had taken by then
  waiting: u32; // SIOCOUTQ at the last look
}

export const NO_CONNECTION: Connection = changetype<Connection>(0);
const VECTOR: usize = (offsetof<Connection>() + 7) & ~7;
const POLL: usize = VECTOR + 2 * offsetof<IoVec>();
const CONNECTION_BYTES: usize = POLL + offsetof<SelectEntry>();

/** The least memory of a connection, with its thread, socket and window. */
const BYTES_SHIFT: u64 = 14;
/**
 * Fixed: all windows together take a quarter of the heap, and some must not grow at others' cost.
 */
const WINDOW_BYTES: u32 = 4096;
/** Places that are kept for new clients. */
const SPARE: u32 = 32;
/** A connection that has waited for less time is at work, and not cut. */
const STALL_NS: u64 = 2 * NS_PER_S;
/** By then a client has most likely read its last answer. */
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

/** A connection for the socket; null: no memory. closeConnection() frees it. */
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

/** The most connections that the memory allows. */
function mostConnections(): u32 {
  return <u32>min<u64>(heapBytes() >> BYTES_SHIFT, u32.MAX_VALUE);
}

/** Is hardly any place left? */
export function isFull(): bool {
  return count + SPARE > mostConnections();
}

/** Are nine tenths of the places taken? */
export function isCrowded(): bool {
  return count > mostConnections() / 10 * 9;
}

/**
 * Resets the connection that is the first to be cut; its memory is free once its thread has had its
 * turn. Returns false if there is none to cut. Does not yield.
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

/** Resets the response that has been stalled for the longest time; false: none is stalled. */
export function cutStalled(): bool {
  const victim = longestIn(Phase.Sending);
  return victim != NO_CONNECTION && cut(victim, Event.CutStalled);
}

/** The connection that has been in that phase for the longest time, at least `leastNs`. */
function longestIn(phase: Phase, leastNs: u64 = STALL_NS): Connection {
  let oldest = NO_CONNECTION;
  const now = nowNs(); // of the machine, which may be younger than that
  for (let c = newest; c != NO_CONNECTION; c = nextConnection(c)) {
    if (c.phase != phase || c.sinceNs + leastNs > now) continue;
    if (oldest == NO_CONNECTION || c.sinceNs <= oldest.sinceNs) oldest = c;
  }
  return oldest;
}

/** Resets the connection, which its thread will notice. Returns true. */
export function cut(c: Connection, why: Event): bool {
  c.ending = why == Event.CutSlow ? Ending.Slow : Ending.Memory;
  SysLogCut(c.socket, why == Event.CutSlow ? AccessReason.Slow : AccessReason.Memory);
  SysSocketReset(c.socket);
  c.phase = Phase.Cut; // only once
  note(why);
  return true;
}
