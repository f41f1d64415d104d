// Segments on their way to IP: the header is made anew for each transmission, the payload stays in
// the chunks of the send queue.
import { Errno } from "../../../../abi/errno";
import { EthernetHdr } from "../../../../abi/ethernet";
import { IpHdr, IPPROTO_TCP } from "../../../../abi/ip";
import {
  TcpHdr,
  TCPOLEN_MAXSEG,
  TCPOLEN_SACK_PERMITTED,
  TCPOLEN_TIMESTAMP,
  TCPOLEN_WINDOW,
  TCPOPT_MAXSEG,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERMITTED,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
} from "../../../../abi/tcp";
import { VECTOR_MAX } from "../../../iovec";
import { askChecksum, askSegmentation, clearOffload } from "../../link/offload";
import { Packet, segmentOf } from "../../link/packet";
import { allocateGatherPacket, extraOf } from "../../link/pool";
import { addOdd, fold, sumBytes } from "../checksum";
import { storeBe16, storeBe32 } from "../bytes";
import { allocateIp, ipPayload, sendIp } from "../ip";
import { localCard, sourceFor } from "../local";
import { Chunk, countParts, foundChunk, foundOffset, holdChunk, releaseChunk } from "./send-queue";

/** The header that is about to be sent, in the order of the machine. */
@unmanaged
export class Header {
  localPort: u32;
  remoteAddress: u32;
  remotePort: u32;
  seq: u32;
  ack: u32;
  flags: u32;
  window: u32; // as it goes on the wire
  // options
  mss: u32; // 0: none
  shift: i32; // -1: none
  hasSack: bool; // permitted
  hasTimestamps: bool;
  tsVal: u32;
  tsEcr: u32;
  blocks: u32; // of SACK, at blocksOf()
  segmentBytes: u32; // above 0: the card cuts the payload into segments of that many bytes
}

const BLOCKS_MAX: u32 = 4;
const header = changetype<Header>(memory.data(offsetof<Header>()));
const blocks: usize = memory.data(32);

/** Entries for payload; the first one lists the headers. */
const PARTS_MAX: u32 = VECTOR_MAX - 1;
const LOWER_BYTES: u32 = EthernetHdr.sizeof + IpHdr.sizeof;

/** A header without options, for a segment between these. */
export function newHeader(localPort: u32, remoteAddress: u32, remotePort: u32): Header {
  memory.fill(changetype<usize>(header), 0, offsetof<Header>());
  header.localPort = localPort;
  header.remoteAddress = remoteAddress;
  header.remotePort = remotePort;
  header.shift = -1;
  return header;
}

/** Adds a block of SACK, [from, to). Returns false when there is no room. */
export function addBlock(h: Header, from: u32, to: u32): bool {
  if (h.blocks == (h.hasTimestamps ? BLOCKS_MAX - 1 : BLOCKS_MAX)) return false;
  storeBe32(blocks + (h.blocks << 3), from, 0);
  storeBe32(blocks + (h.blocks << 3), to, 4);
  h.blocks++;
  return true;
}

/** Bytes of the options, padded to words. */
function optionBytesOf(h: Header): u32 {
  let bytes: u32 = 0;
  if (h.mss != 0) bytes += TCPOLEN_MAXSEG;
  if (h.shift >= 0) bytes += 1 + TCPOLEN_WINDOW;
  if (h.hasSack) bytes += 2 + TCPOLEN_SACK_PERMITTED;
  if (h.hasTimestamps) bytes += 2 + TCPOLEN_TIMESTAMP;
  if (h.blocks != 0) bytes += 4 + (h.blocks << 3);
  return bytes;
}

/** Writes a header of `bytes` bytes; its checksum is 0. */
function write(h: Header, at: usize, bytes: u32): void {
  storeBe16(at, h.localPort, TcpHdr.source);
  storeBe16(at, h.remotePort, TcpHdr.dest);
  storeBe32(at, h.seq, TcpHdr.seq);
  storeBe32(at, h.ack, TcpHdr.ack_seq);
  store<u8>(at, <u8>((bytes >> 2) << 4), TcpHdr.doff);
  store<u8>(at, <u8>h.flags, TcpHdr.flags);
  storeBe16(at, h.window, TcpHdr.window);
  store<u32>(at, 0, TcpHdr.check); // and no urgent data
  writeOptions(h, at + TcpHdr.sizeof);
}

function writeOptions(h: Header, at: usize): void {
  let to = at;
  if (h.mss != 0) {
    to = option(to, TCPOPT_MAXSEG, TCPOLEN_MAXSEG);
    storeBe16(to, h.mss, 0);
    to += 2;
  }
  if (h.shift >= 0) {
    to = option(padding(to, 1), TCPOPT_WINDOW, TCPOLEN_WINDOW);
    store<u8>(to, <u8>h.shift);
    to += 1;
  }
  if (h.hasSack) to = option(padding(to, 2), TCPOPT_SACK_PERMITTED, TCPOLEN_SACK_PERMITTED);
  if (h.hasTimestamps) {
    to = option(padding(to, 2), TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP);
    storeBe32(to, h.tsVal, 0);
    storeBe32(to, h.tsEcr, 4);
    to += 8;
  }
  if (h.blocks == 0) return;
  to = option(padding(to, 2), TCPOPT_SACK, 2 + (h.blocks << 3));
  memory.copy(to, blocks, h.blocks << 3);
}

function padding(to: usize, bytes: u32): usize {
  memory.fill(to, <u8>TCPOPT_NOP, bytes);
  return to + bytes;
}

/** Writes kind and length. Returns where the rest goes. */
function option(to: usize, kind: u32, bytes: u32): usize {
  store<u8>(to, <u8>kind);
  store<u8>(to, <u8>bytes, 1);
  return to + 2;
}

/** The sum of the pseudo header (RFC 9293, 3.1), words as they lie in memory. */
function pseudoSum(h: Header, bytes: u32): u64 {
  const addresses = <u64>bswap<u32>(sourceFor(h.remoteAddress)) + bswap<u32>(h.remoteAddress);
  return addresses + <u64>bswap<u16>(<u16>IPPROTO_TCP) + bswap<u16>(<u16>bytes);
}

/**
 * Sends a segment without payload. Returns 0, -ENOMEM or an error of sendIp(). Does not yield.
 */
export function sendEmpty(h: Header): i32 {
  const bytes = TcpHdr.sizeof + optionBytesOf(h);
  const packet = allocateIp(bytes);
  if (!packet) return -Errno.ENOMEM;
  const at = ipPayload(packet);
  write(h, at, bytes);
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
  const headerBytes = TcpHdr.sizeof + optionBytesOf(h);
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
  write(h, at, headerBytes);
  const own = segmentOf(packet, 0);
  own.base = packet.payload;
  own.length = LOWER_BYTES + headerBytes;
  const sum = listParts(packet, refs, bytes);
  finish(h, packet, at, headerBytes, bytes, sum);
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
    done += part;
    at = 0;
    if (done < bytes) chunk = chunk.next as Chunk;
  }
  return sum;
}

/** The checksum, or what the card has to do. */
function finish(h: Header, packet: Packet, at: usize, headerBytes: u32, bytes: u32, sum: u64): void {
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
