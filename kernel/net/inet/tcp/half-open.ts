// Connections that peers have asked for, until the handshake is done: SYN-RECEIVED, as small
// records (TC32). A flood of SYNs fills its listener's share of them, and costs nothing else.
import { TH_ACK, TH_RST, TH_SYN } from "../../../../abi/tcp";
import { NEVER, nowNs, NS_PER_MS } from "../../../clock";
import { ToroAllocMem, ToroFreeMem } from "../../../memory";
import { startTimer, stopTimer, Timer } from "../../../timer";
import { firstWindow, promiseWindow, settlePromise } from "../../socket/credit";
import { NO_SOCKET, Socket } from "../../socket/socket";
import { nowMs } from "./clocks";
import { sendEmpty } from "./emit";
import { newHeader } from "./header";
import { acceptHalfOpen, HalfOpen } from "./accept";
import { ownMss } from "./handshake";
import { initialSequence, timestampOffset } from "./isn";
import { sendRefusal } from "./refuse";
import { Segment } from "./segment";
import { tcbOf } from "./tcb";
import { shiftFor, WINDOW_MAX } from "./window";

/** Of one listener. */
const HALF_OPEN_MAX: u32 = 128;
/** TC32: after 1, 2 and 4 seconds; then the record is gone. */
const RETRY_MS: u32 = 1000;
const TRIES_MAX: u32 = 3;

let first: HalfOpen | null = null;
const timer = changetype<Timer>(memory.data(offsetof<Timer>()));

/** The caller has reserved a timer. */
export function halfOpenInit(): void {
  timer.handler = (retry as (arg: usize) => void).index;
}

/** The card is gone. */
export function halfOpenEnd(): void {
  for (let h = first; h; h = first) drop(h);
  stopTimer(timer);
}

/** The listener goes away. */
export function dropHalfOpen(listener: Socket): void {
  let h = first;
  while (h) {
    const next = h.next;
    if (h.listener == listener) drop(h);
    h = next;
  }
}

function drop(gone: HalfOpen): void {
  tcbOf(gone.listener).halfOpen--;
  if (first == gone) {
    first = gone.next;
  } else {
    let before = first as HalfOpen;
    while (before.next != gone) before = before.next as HalfOpen;
    before.next = gone.next;
  }
  settlePromise(gone.window);
  ToroFreeMem(changetype<usize>(gone));
  if (!first) stopTimer(timer);
}

function find(g: Segment): HalfOpen | null {
  const ports = (g.destPort << 16) | g.sourcePort;
  let h = first;
  while (h) {
    if (h.ports == ports && h.remoteAddress == g.source) return h;
    h = h.next;
  }
  return null;
}

/** A segment for a listener (RFC 9293, 3.10.7.2). */
export function receiveListen(listener: Socket, g: Segment): void {
  if ((g.flags & TH_RST) != 0) return;
  if ((g.flags & TH_ACK) != 0) return sendRefusal(g);
  if ((g.flags & TH_SYN) == 0) return;
  const t = tcbOf(listener);
  // A full backlog drops the SYN: the peer tries again, and may be lucky then.
  if (listener.pending >= listener.backlog || t.halfOpen >= HALF_OPEN_MAX) return;
  const address = ToroAllocMem(offsetof<HalfOpen>());
  if (address == 0) return;
  const h = changetype<HalfOpen>(address);
  h.listener = listener;
  h.remoteAddress = g.source;
  h.ports = (g.destPort << 16) | g.sourcePort;
  h.iss = initialSequence(g.destPort, g.source, g.sourcePort);
  h.tsOffset = timestampOffset(g.destPort, g.source, g.sourcePort);
  h.irs = g.seq;
  h.mss = <u16>g.mss;
  h.hasShift = g.hasShift;
  h.shift = <u8>(g.hasShift ? g.shift : 0);
  h.receiveShift = g.hasShift ? shiftFor(listener.windowMax) : 0;
  h.hasTimestamps = g.hasTimestamps;
  h.tsRecent = g.tsVal;
  h.hasSack = g.hasSack;
  h.window = <u16>min(firstWindow(listener.windowFirst), WINDOW_MAX);
  promiseWindow(h.window);
  h.next = first;
  first = h;
  t.halfOpen++;
  answer(h);
}

/** Sends SYN and ACK, and again in a while. */
function answer(h: HalfOpen): void {
  const header = newHeader(h.ports >> 16, h.remoteAddress, h.ports & 0xffff);
  header.seq = h.iss;
  header.ack = h.irs + 1;
  header.flags = TH_SYN | TH_ACK;
  header.window = h.window;
  header.mss = ownMss();
  header.shift = h.hasShift ? <i32>h.receiveShift : -1;
  header.hasSack = h.hasSack;
  header.hasTimestamps = h.hasTimestamps;
  header.tsVal = nowMs() + h.tsOffset;
  header.tsEcr = h.tsRecent;
  sendEmpty(header);
  h.dueMs = nowMs() + (RETRY_MS << h.tries);
  schedule();
}

function schedule(): void {
  let wait: i32 = i32.MAX_VALUE;
  let h = first;
  while (h) {
    wait = min(wait, <i32>(h.dueMs - nowMs()));
    h = h.next;
  }
  startTimer(timer, first ? nowNs() + <u64>max(wait, 1) * NS_PER_MS : NEVER);
}

function retry(_: usize): void {
  let h = first;
  while (h) {
    const next = h.next;
    if (<i32>(h.dueMs - nowMs()) <= 0) {
      if (h.tries == TRIES_MAX) {
        drop(h);
      } else {
        h.tries++;
        answer(h);
      }
    }
    h = next;
  }
  schedule();
}

/**
 * A segment for no socket: does it belong to a half-open connection? `accepted` is the socket that
 * this has become, which the segment is then for, or NO_SOCKET.
 */
export function receiveHalfOpen(g: Segment): bool {
  accepted = NO_SOCKET;
  const h = first ? find(g) : null;
  if (!h) return false;
  if ((g.flags & TH_RST) != 0) {
    if (g.seq == h.irs + 1) drop(h); // TC33
    return true;
  }
  if ((g.flags & TH_SYN) != 0) {
    if (g.seq == h.irs) answer(h); // our answer was lost
    else if ((g.flags & TH_ACK) == 0) challenge(h);
    return true;
  }
  if ((g.flags & TH_ACK) == 0) return true;
  if (g.ack != h.iss + 1) {
    sendRefusal(g);
    return true;
  }
  if (isAcceptable(h, g)) accepted = acceptHalfOpen(h, g);
  if (accepted != NO_SOCKET) drop(h);
  return true;
}

export let accepted: Socket = NO_SOCKET;

/** Is it within the window that SYN and ACK have advertised, and not old (RFC 7323, 5)? */
function isAcceptable(h: HalfOpen, g: Segment): bool {
  if (h.hasTimestamps && !g.hasTimestamps) return false;
  if (h.hasTimestamps && <i32>(g.tsVal - h.tsRecent) < 0) return false;
  const distance = g.seq - (h.irs + 1);
  return distance <= h.window;
}

/** An ACK with the numbers that we expect, as answer to a SYN with others (RFC 5961, 4). */
function challenge(h: HalfOpen): void {
  const header = newHeader(h.ports >> 16, h.remoteAddress, h.ports & 0xffff);
  header.seq = h.iss + 1;
  header.ack = h.irs + 1;
  header.flags = TH_ACK;
  header.hasTimestamps = h.hasTimestamps;
  header.tsVal = nowMs() + h.tsOffset;
  header.tsEcr = h.tsRecent;
  sendEmpty(header);
}
