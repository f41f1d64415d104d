// Segments that arrive before others (RFC 9293, 3.10.7.4): they wait in the order of their numbers,
// without overlaps. Of bytes that come twice the first ones stay.
import { NetStats } from "../../../../abi/stats";
import { Packet, PacketQueue, payloadOf } from "../../link/packet";
import { AllocatePacket } from "../../link/pool";
import { releasePacket } from "../../link/interface";
import { Socket, statsOf } from "../../socket/socket";
import { copyPayload } from "../../socket/stats";
import { isAfter, isBefore } from "./sequence";
import { gapsOf, tcbOf } from "./tcb";

/** TC30: runs of bytes with holes between them, and packets that hold them. */
const GAPS_MAX: u32 = 32;
const PACKETS_MAX: u32 = 512;
/** A copy has room for what may follow it. */
const COPY_BYTES_MIN: u32 = 256;

// The number of a waiting packet's first byte lies in its mark, which only received messages use.

export function seqOf(packet: Packet): u32 {
  return packet.marks;
}

export function endOf(packet: Packet): u32 {
  return packet.marks + packet.length - packet.offset;
}

/**
 * Keeps bytes [seq, seq + bytes), from `at` on, that lie within the window and beyond what was
 * expected. Returns true when it keeps `packet` itself, whose bytes they are; null: they are
 * copied. Bytes for which there is no room are dropped: the peer sends them again.
 */
export function addGap(s: Socket, packet: Packet | null, at: usize, seq: u32, bytes: u32): bool {
  const t = tcbOf(s);
  const gaps = gapsOf(s);
  let from = seq;
  const end = seq + bytes;
  let before: Packet | null = null;
  let after = gaps.first;
  let kept = false;
  while (isBefore(from, end)) {
    while (after && !isAfter(seqOf(after), from)) {
      if (isAfter(endOf(after), from)) from = endOf(after); // it came first
      before = after;
      after = after.next;
    }
    if (!isBefore(from, end)) break;
    const until = after && isBefore(seqOf(after), end) ? seqOf(after) : end;
    const isWhole = from == seq && until == end;
    const one = hold(s, packet, at + (from - seq), until - from, before, from, isWhole);
    if (!one) break;
    if (one == packet) kept = true;
    if (one != before) {
      insert(gaps, before, one, from);
      before = one;
    }
    t.gapBytes += until - from;
    t.sackFirst = from;
    from = until;
  }
  return kept;
}

/**
 * The place of a run of bytes that wait: after those before it, if they touch and there is room, in
 * the packet that brought it, or in a copy. Null: there is none.
 */
function hold(
  s: Socket,
  packet: Packet | null,
  at: usize,
  bytes: u32,
  before: Packet | null,
  seq: u32,
  isWhole: bool,
): Packet | null {
  const stats = statsOf(s);
  const touches = before ? endOf(before) == seq : false;
  if (before && touches && !before.received && before.length + bytes <= before.capacity) {
    copyPayload(stats, NetStats.ringToSocket, payloadOf(before) + before.length, at, bytes);
    before.length += bytes;
    return before;
  }
  if (gapsOf(s).count >= PACKETS_MAX || (!touches && countRuns(s) >= GAPS_MAX)) return null;
  if (packet && isWhole && mayKeep(s, packet, bytes)) {
    packet.offset = <u32>(at - payloadOf(packet));
    packet.length = packet.offset + bytes;
    return packet;
  }
  const copy = AllocatePacket(max(bytes, COPY_BYTES_MIN));
  if (!copy) return null;
  copyPayload(stats, NetStats.ringToSocket, payloadOf(copy), at, bytes);
  copy.length = bytes;
  return copy;
}

/** NZ9: a page waits as it is while it is well filled, or little memory is bound by that. */
function mayKeep(s: Socket, packet: Packet, bytes: u32): bool {
  const t = tcbOf(s);
  if (!packet.received || bytes <= packet.capacity >> 1) return false;
  return <u64>t.gapBytes + packet.capacity <= <u64>s.bufAlloc;
}

function insert(gaps: PacketQueue, before: Packet | null, packet: Packet, seq: u32): void {
  packet.marks = seq;
  if (!before) return gaps.unshift(packet);
  packet.next = before.next;
  before.next = packet;
  if (gaps.last == before) gaps.last = packet;
  gaps.count++;
}

/** Runs of bytes with holes between them. */
function countRuns(s: Socket): u32 {
  let runs: u32 = 0;
  let end: u32 = 0;
  let p = gapsOf(s).first;
  while (p) {
    if (runs == 0 || seqOf(p) != end) runs++;
    end = endOf(p);
    p = p.next;
  }
  return runs;
}

/** Takes the first waiting packet if it is the next one to be read; otherwise null. */
export function takeGap(s: Socket): Packet | null {
  const gaps = gapsOf(s);
  const first = gaps.first;
  const t = tcbOf(s);
  if (!first || seqOf(first) != t.rcvNxt) return null;
  gaps.pop();
  t.gapBytes -= first.length - first.offset;
  first.marks = 0;
  return first;
}

/** Drops what waits. */
export function dropGaps(s: Socket): void {
  const gaps = gapsOf(s);
  for (let p = gaps.pop(); p; p = gaps.pop()) {
    p.marks = 0;
    releasePacket(p);
  }
  tcbOf(s).gapBytes = 0;
}
