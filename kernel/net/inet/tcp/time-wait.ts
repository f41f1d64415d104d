// TIME-WAIT (RFC 9293, 3.6.1): the addresses of a connection that has ended are not used again
// while its segments may still be on their way. Each is a small record in a table of fixed size.
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

@unmanaged
class TimeWait {
  endsMs: u32;
  remoteAddress: u32;
  ports: u32; // local, remote
  sndNxt: u32;
  rcvNxt: u32;
  tsRecent: u32;
  tsOffset: u32;
  hasTimestamps: bool;
}

/** TC28: the record that ends first gives its place away. */
const RECORDS: u32 = 1024;
const records: usize = memory.data(1024 * 32);
const scratch: usize = memory.data(32);
// A ring in the order of their ends: a record that starts anew goes to the end of it.
let first: u32 = 0;
let count: u32 = 0;
let lastsMs: u32 = 60_000;
const timer = changetype<Timer>(memory.data(offsetof<Timer>()));

if (offsetof<TimeWait>() > 32) ERROR("time-wait: a record is larger than 32 bytes");
const LASTS_MS_MAX: u32 = 240_000;

/** The caller has reserved a timer. */
export function timeWaitInit(): void {
  lastsMs = parameterInRange("net.time_wait_ms", lastsMs, 0, LASTS_MS_MAX);
  timer.handler = (expire as (arg: usize) => void).index;
}

/** The card is gone. */
export function timeWaitEnd(): void {
  count = 0;
  stopTimer(timer);
}

export function timeWaitCount(): u32 {
  return count;
}

function recordAt(i: u32): TimeWait {
  return changetype<TimeWait>(records + (((first + i) % RECORDS) << 5));
}

export function addTimeWait(s: Socket): void {
  if (lastsMs == 0) return;
  const t = tcbOf(s);
  if (count == RECORDS) drop();
  const record = recordAt(count++);
  record.remoteAddress = s.remoteAddress;
  record.ports = (s.localPort << 16) | s.remotePort;
  record.sndNxt = t.top;
  record.rcvNxt = t.rcvNxt;
  record.hasTimestamps = t.hasTimestamps;
  record.tsRecent = t.tsRecent;
  record.tsOffset = t.tsOffset;
  record.endsMs = nowMs() + lastsMs;
  schedule();
}

/** Drops the oldest. */
function drop(): void {
  first = (first + 1) % RECORDS;
  count--;
}

function schedule(): void {
  if (count == 0) return stopTimer(timer);
  startTimer(timer, nowNs() + <u64>max<i32>(recordAt(0).endsMs - nowMs(), 1) * NS_PER_MS);
}

function expire(_: usize): void {
  while (count != 0 && <i32>(recordAt(0).endsMs - nowMs()) <= 0) drop();
  schedule();
}

function find(address: u32, localPort: u32, remotePort: u32): u32 {
  const ports = (localPort << 16) | remotePort;
  for (let i: u32 = 0; i < count; i++) {
    const record = recordAt(i);
    if (record.ports == ports && record.remoteAddress == address) return i;
  }
  return RECORDS;
}

/** Moves the record to the end of the ring, where the others that end later follow. */
function restart(index: u32): void {
  memory.copy(scratch, changetype<usize>(recordAt(index)), offsetof<TimeWait>());
  remove(index);
  const last = recordAt(count++);
  memory.copy(changetype<usize>(last), scratch, offsetof<TimeWait>());
  last.endsMs = nowMs() + lastsMs;
  schedule();
}

function remove(index: u32): void {
  for (let i = index; i + 1 < count; i++) {
    memory.copy(
      changetype<usize>(recordAt(i)),
      changetype<usize>(recordAt(i + 1)),
      offsetof<TimeWait>(),
    );
  }
  count--;
}

/** Is the local port of a connection to that peer in TIME-WAIT? */
export function isInTimeWait(address: u32, localPort: u32, remotePort: u32): bool {
  return count != 0 && find(address, localPort, remotePort) != RECORDS;
}

/**
 * A segment for no socket: does it belong to a connection in TIME-WAIT? Returns false if it does
 * not, or if it is a SYN that may reopen the addresses (RFC 6191).
 */
export function receiveTimeWait(g: Segment): bool {
  if (count == 0) return false;
  const index = find(g.source, g.destPort, g.sourcePort);
  if (index == RECORDS) return false;
  const record = recordAt(index);
  if ((g.flags & TH_RST) != 0) return true; // RFC 1337: it does not end the wait
  if ((g.flags & (TH_SYN | TH_ACK)) == TH_SYN && mayReopen(record, g)) {
    remove(index);
    schedule();
    return false;
  }
  if ((g.flags & (TH_SYN | TH_FIN)) == TH_FIN) {
    answer(record);
    restart(index);
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
