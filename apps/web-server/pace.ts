// Clients must take their responses at LEAST_RATE on average over each interval but the first, or
// they are cut. Every byte that the client is known to have taken counts. The thread that checks is
// suspended while no response waits, and there is a place for the next client.
import {
  BeginThread,
  nowNs,
  NS_PER_S,
  SIOCOUTQ,
  Sleep,
  SO_PROGRESS,
  SysResumeThread,
  SysSocketGetOption,
  SysSuspendThread,
  SysThreadSwitch,
} from "torito/kernel/api";
import {
  Connection,
  cut,
  cutOne,
  enter,
  firstConnection,
  isFull,
  nextConnection,
  NO_CONNECTION,
  Phase,
} from "./connections";
import { Event } from "./events";

const LEAST_RATE: u32 = 240; // bytes a second
const INTERVAL_S: u32 = 10;
const CHECK_MS: u32 = 1000;
/** The same while there is no place for a client. */
const SHORT_MS: u32 = 250;
/** Bytes taken in the last second may not be known yet. */
const LEAST_BYTES: u32 = LEAST_RATE * (INTERVAL_S - 1);

/** SO_PROGRESS wraps at 31 bits. */
const PROGRESS_MASK: u32 = 0x7fff_ffff;

let checker: i32 = 0;
let paced: u32 = 0; // responses that wait
let isShort = false; // of places: all are taken, and nobody could be cut

/** Starts the thread that checks. Returns 0 or an error. */
export function paceInit(): i32 {
  checker = BeginThread(checkAll, 0, 0);
  return min(checker, 0);
}

/** From here to endPace() the response depends on its client's pace. */
export function beginPace(c: Connection): void {
  enter(c, Phase.Sending);
  c.paceNs = c.sinceNs;
  c.paceTaken = takenBy(c);
  c.waiting = waitingOf(c);
  c.grace = true;
  if (paced++ == 0 && !isShort) SysResumeThread(checker);
}

export function endPace(c: Connection): void {
  paced--;
  enter(c, Phase.Answering);
}

/** The kernel refuses clients now, so none comes that could ask for a place: the checker does. */
export function awaitPlaces(): void {
  if (!isShort && paced == 0) SysResumeThread(checker);
  isShort = true;
}

function makePlaces(): void {
  while (isFull() && cutOne()) SysThreadSwitch(); // the thread ends, and gives its place back
  isShort = isFull();
}

/** Bytes that the client is known to take, a total that wraps. */
function takenBy(c: Connection): u32 {
  return SysSocketGetOption(c.socket, SO_PROGRESS);
}

/** Bytes that the client's side has not taken; when the number changes, a new stall starts. */
function waitingOf(c: Connection): u32 {
  return SysSocketGetOption(c.socket, SIOCOUTQ);
}

function checkAll(_: usize): void {
  while (true) {
    if (paced == 0 && !isShort) SysSuspendThread(0);
    Sleep(isShort ? SHORT_MS : CHECK_MS);
    if (isShort) makePlaces();
    for (let c = firstConnection(); c != NO_CONNECTION; c = nextConnection(c)) {
      if (c.phase == Phase.Sending) check(c);
    }
  }
}

function check(c: Connection): void {
  const now = nowNs();
  const waiting = waitingOf(c);
  if (waiting != c.waiting) c.sinceNs = now;
  c.waiting = waiting;
  if (now - c.paceNs < <u64>INTERVAL_S * NS_PER_S) return;
  const taken = takenBy(c);
  if (!c.grace && ((taken - c.paceTaken) & PROGRESS_MASK) < LEAST_BYTES) {
    cut(c, Event.CutSlow);
    return;
  }
  c.grace = false;
  c.paceNs = now;
  c.paceTaken = taken;
}
