// Does the work on a frame that its receiver will not do (NW15, NB6): one frame becomes complete
// ones.
import { EthernetHdr } from "../../../../abi/ethernet.ts";
import { IPPROTO_TCP, IpHdr } from "../../../../abi/ip.ts";
import { TcpHdr, TH_CWR, TH_FIN, TH_PUSH } from "../../../../abi/tcp.ts";
import { putBytes } from "../../../bytes.ts";
import { type Frame, WholeFrame } from "../frame.ts";
import { HEADERS_BYTES_MAX, type Offload } from "./offload.ts";
import { type Staging, sharedStaging } from "./staging.ts";

/**
 * A frame is cut into this many segments at most; else it is dropped. It is the longest one at the
 * default segment size of TCP, 536 bytes (RFC 9293, 3.7.1); smaller ones could make 65,535 of it.
 */
const SEGMENTS_MAX = 123;
/** The memory has the frame, and after it the headers of each segment. */
const FRAME_ROOM = 65552;
const HEADERS_ROOM = (HEADERS_BYTES_MAX + 15) & ~15;
/** Source and destination of IPv4, which stand together. */
const ADDRESSES_BYTES = 8;

/**
 * Complete frames instead of one that leaves work to others; it is copied. They are valid until the
 * next call. None: there would be too many.
 */
export function complete(frame: Frame, offload: Offload): readonly Frame[] {
  if (frame.bytes > FRAME_ROOM) return [];
  const staging = sharedStaging();
  putBytes(staging.bytes, 0, frame.parts);
  if (offload.segmentBytes !== 0) return cut(staging, frame.bytes, offload);
  const { checksumStart, checksumOffset } = offload;
  const sum = staging.sum(checksumStart, frame.bytes - checksumStart);
  staging.putChecksum(checksumStart + checksumOffset, sum);
  return [new WholeFrame(staging.bytes.subarray(0, frame.bytes))];
}

function cut(staging: Staging, bytes: number, offload: Offload): Frame[] {
  const { segmentBytes, headerBytes } = offload;
  const count = Math.max(1, Math.ceil((bytes - headerBytes) / segmentBytes));
  if (count > SEGMENTS_MAX) return [];
  return Array.from({ length: count }, (_, i) => {
    const from = headerBytes + i * segmentBytes;
    const end = Math.min(bytes, from + segmentBytes);
    const at = FRAME_ROOM + i * HEADERS_ROOM;
    staging.bytes.copyWithin(at, 0, headerBytes);
    fillIp(staging, at, offload, i, end - from);
    fillTcp(staging, at, offload, i, i === count - 1);
    sumTcp(staging, at, offload, from, end - from);
    const headers = staging.bytes.subarray(at, at + headerBytes);
    return new WholeFrame(headers, staging.bytes.subarray(from, end));
  });
}

/** Each segment is a packet with an identification of its own. */
function fillIp(staging: Staging, at: number, offload: Offload, i: number, bytes: number): void {
  const { view } = staging;
  const ip = at + EthernetHdr.sizeof;
  view.setUint16(ip + IpHdr.tot_len, offload.headerBytes - EthernetHdr.sizeof + bytes);
  view.setUint16(ip + IpHdr.id, view.getUint16(ip + IpHdr.id) + i);
  view.setUint16(ip + IpHdr.check, 0);
  const sum = staging.sum(ip, offload.checksumStart - EthernetHdr.sizeof);
  staging.putChecksum(ip + IpHdr.check, sum);
}

/** FIN and PSH are for the end of what was sent, CWR for the first segment (RFC 3168, 6.1.2). */
function fillTcp(staging: Staging, at: number, offload: Offload, i: number, isLast: boolean): void {
  const { view } = staging;
  const tcp = at + offload.checksumStart;
  const keptFlags = ~((isLast ? 0 : TH_FIN | TH_PUSH) | (i === 0 ? 0 : TH_CWR));
  view.setUint32(tcp + TcpHdr.seq, view.getUint32(tcp + TcpHdr.seq) + i * offload.segmentBytes);
  view.setUint8(tcp + TcpHdr.flags, view.getUint8(tcp + TcpHdr.flags) & keptFlags);
  view.setUint16(tcp + TcpHdr.check, 0);
}

/** The sender's pseudo header was for the length of the whole: it is made anew. */
function sumTcp(staging: Staging, at: number, offload: Offload, from: number, bytes: number): void {
  const tcp = at + offload.checksumStart;
  const tcpBytes = offload.headerBytes - offload.checksumStart;
  const length = tcpBytes + bytes;
  const pseudo = (IPPROTO_TCP << 8) + swapped(length);
  const addresses = staging.sum(at + EthernetHdr.sizeof + IpHdr.saddr, ADDRESSES_BYTES, pseudo);
  const sum = staging.sum(from, bytes, staging.sum(tcp, tcpBytes, addresses));
  staging.putChecksum(tcp + TcpHdr.check, sum);
}

/** A number of 16 bits as its bytes lie in a packet, for a sum of little-endian words. */
function swapped(number: number): number {
  return ((number & 0xff) << 8) | (number >> 8);
}
