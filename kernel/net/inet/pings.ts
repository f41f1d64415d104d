// Echo requests that threads wait for. A place whose thread was killed is free again after its
// deadline.
import { Errno } from "../../../abi/errno";
import { IcmpHdr } from "../../../abi/ip";
import { nowNs } from "../../clock";
import { wait, wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";

/** Requests that may be under way; a further one is -ENOBUFS. */
const PINGS_MAX: u32 = 16;

/** A request under way. */
@unmanaged
export class Ping {
  address: u32;
  id: u32;
  sequence: u32;
  bytes: u32; // of the data
  result: i64; // nanoseconds, or a negative error; -EINPROGRESS: no answer yet
  sentNs: u64;
  deadlineNs: u64; // 0: the place is free
}

const table: usize = memory.data(16 * offsetof<Ping>(), 8);
const answers = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
export const NO_PING: Ping = changetype<Ping>(0);

function pingAt(i: u32): Ping {
  return changetype<Ping>(table + i * offsetof<Ping>());
}

/** A place for a request, the rest of it for the caller to fill; NO_PING: there is none. */
export function addPing(address: u32, bytes: u32, deadlineNs: u64): Ping {
  const now = nowNs();
  for (let i: u32 = 0; i < PINGS_MAX; i++) {
    const ping = pingAt(i);
    if (ping.deadlineNs != 0 && now <= ping.deadlineNs) continue;
    ping.address = address;
    ping.bytes = bytes;
    ping.result = -Errno.EINPROGRESS;
    ping.sentNs = now;
    ping.deadlineNs = deadlineNs;
    return ping;
  }
  return NO_PING;
}

/** Waits for the answer, and frees the place. Yields. Returns nanoseconds or a negative error. */
export function awaitPing(ping: Ping): i64 {
  const id = ping.id;
  const sequence = ping.sequence;
  while (ping.result == -Errno.EINPROGRESS) {
    const error = wait(answers, ping.deadlineNs);
    // Past the deadline another thread may have run first, and taken the place.
    if (ping.id != id || ping.sequence != sequence) return -Errno.ETIMEDOUT;
    if (error < 0 && ping.result == -Errno.EINPROGRESS) ping.result = error;
  }
  dropPing(ping);
  return ping.result;
}

export function dropPing(ping: Ping): void {
  ping.deadlineNs = 0;
}

/** An answer with `bytes` bytes of ICMP has come. */
export function echoAnswered(id: u32, sequence: u32, source: u32, bytes: u32): void {
  for (let i: u32 = 0; i < PINGS_MAX; i++) {
    const ping = pingAt(i);
    if (ping.deadlineNs == 0 || ping.id != id || ping.sequence != sequence) continue;
    if (ping.address != source || ping.bytes != bytes - IcmpHdr.sizeof) continue;
    finish(ping, nowNs() - ping.sentNs);
  }
}

/** Nobody has that address. */
export function echoUnreachable(address: u32): void {
  for (let i: u32 = 0; i < PINGS_MAX; i++) {
    const ping = pingAt(i);
    if (ping.deadlineNs != 0 && ping.address == address) finish(ping, -Errno.EHOSTUNREACH);
  }
}

function finish(ping: Ping, result: i64): void {
  if (ping.result != -Errno.EINPROGRESS) return;
  ping.result = result;
  wakeAll(answers);
}
