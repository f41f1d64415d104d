// Segments on their way to IP: the header is made anew for each transmission, the payload stays in
// the chunks of the send queue.
import { Errno } from "../../../../abi/errno";
import { EthernetHdr } from "../../../../abi/ethernet";
import { IpHdr, IPPROTO_TCP } from "../../../../abi/ip";
import { NetStats } from "../../../../abi/stats";
import { TcpHdr } from "../../../../abi/tcp";
import { VSOCK_PACKET_BYTES_MAX } from "../../../../abi/vsock";
import { VECTOR_MAX } from "../../../iovec";
import { askChecksum, askSegmentation, clearOffload } from "../../link/offload";
import { Packet, segmentOf } from "../../link/packet";
import { allocateGatherPacket, extraOf } from "../../link/pool";
import { copyPayload } from "../../socket/stats";
import { addOdd, fold, sumBytes } from "../checksum";
import { allocateIp, ipPayload, sendIp } from "../ip";
import { localCard } from "../local";
import { Header, headerBytesFor, pseudoSum, writeHeader } from "./header";
import { Chunk, countParts, foundChunk, foundOffset, holdChunk, releaseChunk } from "./send-queue";

/** Entries for payload; the first one lists the headers. */
const PARTS_MAX: u32 = VECTOR_MAX - 1;
const HEADER_MAX: u32 = 60;
const LOWER_BYTES: u32 = EthernetHdr.sizeof + IpHdr.sizeof;

/**
 * Sends a segment without payload. Returns 0, -ENOMEM or an error of sendIp(). Does not yield.
 */
export function sendEmpty(h: Header): i32 {
  const bytes = headerBytesFor(h);
  const packet = allocateIp(bytes);
  if (!packet) return -Errno.ENOMEM;
  const at = ipPayload(packet);
  writeHeader(h, at, bytes);
  const sum = pseudoSum(h, bytes) + sumBytes(at, bytes);
  store<u16>(at, ~fold(sum), TcpHdr.check);
  return sendIp(packet, IPPROTO_TCP, h.remoteAddress);
}

/** Bytes of payload that one segment from the found byte of the queue on can list. */
export function listable(bytes: u32): u32 {
  let chunk: Chunk | null = foundChunk;
  let at = foundOffset;
  let listed: u32 = 0;
  for (let i: u32 = 0; i < partsMax() && chunk && listed < bytes; i++) {
    listed += min(chunk.length - at, bytes - listed);
    at = 0;
    chunk = chunk.next;
  }
  return listed;
}

function partsMax(): u32 {
  return min(PARTS_MAX, localCard().iface.segmentsMax - 2);
}

/**
 * Sends `bytes` bytes of the send queue, at least 1, from the one that findByte() has found, which
 * listable() allows. Returns 0, -ENOMEM or an error of sendIp(). Does not yield.
 */
export function sendPayload(h: Header, bytes: u32): i32 {
  const parts = countParts(bytes, PARTS_MAX);
  const entries = parts + 1;
  const headerBytes = headerBytesFor(h);
  const packet = allocateGatherPacket(entries, (parts << 2) + LOWER_BYTES + headerBytes);
  if (!packet) return -Errno.ENOMEM;
  const refs = extraOf(packet, entries);
  packet.payload = refs + (parts << 2);
  packet.length = LOWER_BYTES + headerBytes + bytes;
  packet.segments = entries;
  packet.completion = (segmentSent as (packet: Packet, bytes: u32) => void).index;
  packet.completionArg = changetype<usize>(packet);
  packet.isLazy = true;
  clearOffload(packet);
  const at = ipPayload(packet);
  writeHeader(h, at, headerBytes);
  const own = segmentOf(packet, 0);
  own.base = packet.payload;
  own.length = LOWER_BYTES + headerBytes;
  const sum = listParts(packet, refs, bytes);
  finish(h, packet, at, headerBytes, bytes, sum);
  return sendIp(packet, IPPROTO_TCP, h.remoteAddress);
}

/** Bytes of payload that sendCopied() takes: those of the largest packet, less its headers. */
export const COPIED_MAX: u32 = VSOCK_PACKET_BYTES_MAX - LOWER_BYTES - HEADER_MAX;

/**
 * As sendPayload(), but the bytes are copied into a packet of their own, which `stats`, of the
 * socket, counts. `bytes` is COPIED_MAX at most.
 */
export function sendCopied(h: Header, bytes: u32, stats: usize): i32 {
  const headerBytes = headerBytesFor(h);
  const packet = allocateIp(headerBytes + bytes);
  if (!packet) return -Errno.ENOMEM;
  const at = ipPayload(packet);
  writeHeader(h, at, headerBytes);
  const to = at + headerBytes;
  let chunk = foundChunk;
  let from = foundOffset;
  for (let done: u32 = 0; done < bytes; ) {
    const part = min(chunk.length - from, bytes - done);
    copyPayload(stats, NetStats.packetToRing, to + done, chunk.base + from, part);
    done += part;
    from = 0;
    if (done < bytes) chunk = chunk.next as Chunk;
  }
  finish(h, packet, at, headerBytes, bytes, leavesSum() ? 0 : sumBytes(to, bytes));
  return sendIp(packet, IPPROTO_TCP, h.remoteAddress);
}

/** Does the card compute checksums? */
function leavesSum(): bool {
  return localCard().sendsChecksums;
}

/** Lists the payload, and refers to its chunks. Returns its sum, unless the card computes it. */
function listParts(packet: Packet, refs: usize, bytes: u32): u64 {
  const sums = !leavesSum();
  let chunk = foundChunk;
  let at = foundOffset;
  let done: u32 = 0;
  let sum: u64 = 0;
  for (let i: u32 = 1; done < bytes; i++) {
    const part = min(chunk.length - at, bytes - done);
    const entry = segmentOf(packet, i);
    entry.base = chunk.base + at;
    entry.length = part;
    if (sums) {
      const one = sumBytes(entry.base, part);
      sum = (done & 1) == 0 ? sum + one : addOdd(sum, one);
    }
    store<u32>(refs + ((i - 1) << 2), <u32>changetype<usize>(chunk));
    holdChunk(chunk);
    // Its sender waits for the device as well as for the peer.
    if (chunk.buffers != 0) packet.isLazy = false;
    done += part;
    at = 0;
    if (done < bytes) chunk = chunk.next as Chunk;
  }
  return sum;
}

/** The checksum, or what the card has to do. */
function finish(
  h: Header,
  packet: Packet,
  at: usize,
  headerBytes: u32,
  bytes: u32,
  sum: u64,
): void {
  const pseudo = pseudoSum(h, headerBytes + bytes);
  if (!leavesSum()) {
    store<u16>(at, ~fold(pseudo + sumBytes(at, headerBytes) + sum), TcpHdr.check);
    return;
  }
  store<u16>(at, fold(pseudo), TcpHdr.check); // NW12: folded, not inverted
  if (h.segmentBytes != 0) askSegmentation(packet, LOWER_BYTES + headerBytes, h.segmentBytes);
  else askChecksum(packet, LOWER_BYTES, TcpHdr.check);
}

/** The device has the segment no more. */
function segmentSent(packet: Packet, _: u32): void {
  const parts = packet.segments - 1;
  const refs = extraOf(packet, packet.segments);
  for (let i: u32 = 0; i < parts; i++) {
    releaseChunk(changetype<Chunk>(<usize>load<u32>(refs + (i << 2))));
  }
}
