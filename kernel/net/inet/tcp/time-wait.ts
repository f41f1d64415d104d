// TIME-WAIT (RFC 9293, 3.6.1): the addresses of a connection that has ended are not used again
// while its segments may still be on their way. Each is a small record (time-wait-table.ts).
import { TH_ACK, TH_FIN, TH_RST, TH_SYN } from "../../../../abi/tcp";
import { nowNs, NS_PER_MS } from "../../../clock";
import { parameterInRange } from "../../../parameters";
import { startTimer, stopTimer, Timer } from "../../../timer";
import { Socket } from "../../socket/socket";
import { nowMs } from "./clocks";
import { sendEmpty } from "./emit";
import { newHeader } from "./header";
import { isAfter } from "./sequence";
import { lengthOf, Segment } from "./segment";
import { tcbOf } from "./tcb";
import {
  createTimeWait,
  findTimeWait,
  NO_RECORD,
  oldestTimeWait,
  postponeTimeWait,
  removeTimeWait,
  TimeWait,
} from "./time-wait-table";

let lastsMs: u32 = 60_000;
const timer = changetype<Timer>(memory.data(offsetof<Timer>()));
const LASTS_MS_MAX: u32 = 240_000;

/** The caller has reserved a timer. */
export function timeWaitInit(): void {
  lastsMs = parameterInRange("net.time_wait_ms", lastsMs, 0, LASTS_MS_MAX);
  timer.handler = (expire as (arg: usize) => void).index;
}

/** The card is gone. */
export function timeWaitEnd(): void {
  for (let r = oldestTimeWait(); r != NO_RECORD; r = oldestTimeWait()) removeTimeWait(r);
  stopTimer(timer);
}

export function addTimeWait(s: Socket): void {
  if (lastsMs == 0) return;
  const t = tcbOf(s);
  const record = createTimeWait(s.remoteAddress, portsOf(s.localPort, s.remotePort));
  record.sndNxt = t.top;
  record.rcvNxt = t.rcvNxt;
  record.hasTimestamps = t.hasTimestamps;
  record.tsRecent = t.tsRecent;
  record.tsOffset = t.tsOffset;
  record.endsMs = nowMs() + lastsMs;
  schedule();
}

function portsOf(local: u32, remote: u32): u32 {
  return (local << 16) | remote;
}

function schedule(): void {
  const first = oldestTimeWait();
  if (first == NO_RECORD) return stopTimer(timer);
  startTimer(timer, nowNs() + <u64>max<i32>(first.endsMs - nowMs(), 1) * NS_PER_MS);
}

function expire(_: usize): void {
  for (let r = oldestTimeWait(); r != NO_RECORD && <i32>(r.endsMs - nowMs()) <= 0; ) {
    removeTimeWait(r);
    r = oldestTimeWait();
  }
  schedule();
}

function restart(record: TimeWait): void {
  postponeTimeWait(record);
  record.endsMs = nowMs() + lastsMs;
  schedule();
}

/** Is the local port of a connection to that peer in TIME-WAIT? */
export function isInTimeWait(address: u32, localPort: u32, remotePort: u32): bool {
  return findTimeWait(address, portsOf(localPort, remotePort)) != NO_RECORD;
}

/**
 * A segment for no socket: does it belong to a connection in TIME-WAIT? Returns false if it does
 * not, or if it is a SYN that may reopen the addresses (RFC 6191).
 */
export function receiveTimeWait(g: Segment): bool {
  const record = findTimeWait(g.source, portsOf(g.destPort, g.sourcePort));
  if (record == NO_RECORD) return false;
  if ((g.flags & TH_RST) != 0) return true; // RFC 1337: it does not end the wait
  if ((g.flags & (TH_SYN | TH_ACK)) == TH_SYN && mayReopen(record, g)) {
    removeTimeWait(record);
    schedule();
    return false;
  }
  if ((g.flags & (TH_SYN | TH_FIN)) == TH_FIN) {
    answer(record);
    restart(record);
    return true;
  }
  // Two ends that wait both would answer each other's acknowledgements for ever.
  if (lengthOf(g) != 0) answer(record);
  return true;
}

function mayReopen(record: TimeWait, g: Segment): bool {
  if (record.hasTimestamps && g.hasTimestamps) {
    const newer = <i32>(g.tsVal - record.tsRecent);
    if (newer != 0) return newer > 0;
  }
  return isAfter(g.seq, record.rcvNxt);
}

function answer(record: TimeWait): void {
  const h = newHeader(record.ports >> 16, record.remoteAddress, record.ports & 0xffff);
  h.seq = record.sndNxt;
  h.ack = record.rcvNxt;
  h.flags = TH_ACK;
  h.hasTimestamps = record.hasTimestamps;
  h.tsVal = nowMs() + record.tsOffset;
  h.tsEcr = record.tsRecent;
  sendEmpty(h);
}
