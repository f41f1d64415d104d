// Work on a frame that its sender leaves to others: completing a checksum, and cutting a long
// segment of TCP (virtio 5.1.6.2). It travels beside the frame, up to somebody who does it.
import { ETH_P_IP, EthernetHdr } from "../../../../abi/ethernet.ts";
import { IP_MF, IP_OFFMASK, IP_VERSION, IPPROTO_TCP, IpHdr } from "../../../../abi/ip.ts";
import {
  NetHdr,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
} from "../../../../abi/net.ts";
import { TCP_HEADER_BYTES_MAX, TcpHdr } from "../../../../abi/tcp.ts";

const IP_HEADER_BYTES_MAX = 60;
/** All headers of the longest kind: a decision about a frame looks at no more of it. */
export const HEADERS_BYTES_MAX = EthernetHdr.sizeof + IP_HEADER_BYTES_MAX + TCP_HEADER_BYTES_MAX;
const CHECKSUM_BYTES = 2;

/** Work on a frame that its sender has left to the card: its checksum, or its cutting as well. */
export interface Offload {
  /** Where the header of TCP or UDP begins in the frame: the sum goes from there to its end. */
  readonly checksumStart: number;
  /** Where its checksum is, from there. It holds the sum of the pseudo header, not inverted. */
  readonly checksumOffset: number;
  /** Payload of each segment of TCP over IPv4 that the frame stands for; 0: it is one. */
  readonly segmentBytes: number;
  /** With segments: bytes of all headers. */
  readonly headerBytes: number;
}

/** The work that one side has negotiated to do. */
export interface OffloadRights {
  readonly checksums: boolean;
  readonly segments: boolean;
}

export const NO_RIGHTS: OffloadRights = { checksums: false, segments: false };

/** Most frames ask for nothing. */
export function asksForWork(header: DataView): boolean {
  const flags = header.getUint8(NetHdr.flags) & VIRTIO_NET_HDR_F_NEEDS_CSUM;
  return (flags | header.getUint8(NetHdr.gso_type)) !== 0;
}

/**
 * Reads the header of virtio-net in front of a frame that asks for work. "wrong": it was not
 * negotiated, or cannot be done (NG4, NG5). Unknown flags, the hint of the headers' length, and
 * fields that nothing asks for do not matter (NW14, NG6). `frame` has its first HEADERS_BYTES_MAX
 * bytes, or all `bytes`.
 */
export function readOffload(
  header: DataView,
  frame: DataView,
  bytes: number,
  rights: OffloadRights,
): Offload | "wrong" {
  const type = header.getUint8(NetHdr.gso_type);
  if ((header.getUint8(NetHdr.flags) & VIRTIO_NET_HDR_F_NEEDS_CSUM) === 0) return "wrong";
  const checksumStart = header.getUint16(NetHdr.csum_start, true);
  const checksumOffset = header.getUint16(NetHdr.csum_offset, true);
  const inFrame = checksumStart + checksumOffset + CHECKSUM_BYTES <= bytes;
  if (!rights.checksums || !inFrame || checksumStart < EthernetHdr.sizeof) return "wrong";
  const offload = { checksumStart, checksumOffset, segmentBytes: 0, headerBytes: 0 };
  if (type === VIRTIO_NET_HDR_GSO_NONE) return offload;
  const segmentBytes = header.getUint16(NetHdr.gso_size, true);
  const headerBytes = tcpHeadersOf(frame, bytes, offload);
  if (type !== VIRTIO_NET_HDR_GSO_TCPV4 || !rights.segments) return "wrong";
  if (segmentBytes === 0 || headerBytes === 0) return "wrong";
  return { ...offload, segmentBytes, headerBytes };
}

/**
 * Bytes of the headers of a frame that is one whole packet of IPv4 and TCP, whose checksum is where
 * it should be; else 0.
 */
function tcpHeadersOf(frame: DataView, bytes: number, offload: Offload): number {
  const ip: number = EthernetHdr.sizeof;
  if (bytes < ip + IpHdr.sizeof || frame.getUint16(EthernetHdr.h_proto) !== ETH_P_IP) return 0;
  const first = frame.getUint8(ip);
  const tcp = ip + (first & 15) * 4;
  if (first >> 4 !== IP_VERSION || tcp < ip + IpHdr.sizeof || tcp + TcpHdr.sizeof > bytes) return 0;
  if (frame.getUint8(ip + IpHdr.protocol) !== IPPROTO_TCP) return 0;
  if ((frame.getUint16(ip + IpHdr.frag_off) & (IP_MF | IP_OFFMASK)) !== 0) return 0;
  if (frame.getUint16(ip + IpHdr.tot_len) !== bytes - ip) return 0;
  if (offload.checksumStart !== tcp || offload.checksumOffset !== TcpHdr.check) return 0;
  const end = tcp + (frame.getUint8(tcp + TcpHdr.doff) >> 4) * 4;
  return end >= tcp + TcpHdr.sizeof && end <= bytes ? end : 0;
}

/** Does a receiver with these rights do that work itself? */
export function isWithin({ segmentBytes }: Offload, rights: OffloadRights): boolean {
  return rights.checksums && (segmentBytes === 0 || rights.segments);
}

/** Fills the header of a frame to a guest that does the work, or has none: null (NW21, NW22). */
export function writeOffload(header: DataView, offload: Offload | null): void {
  const { checksumStart, checksumOffset, segmentBytes, headerBytes } = offload ?? NOTHING;
  const type = segmentBytes === 0 ? VIRTIO_NET_HDR_GSO_NONE : VIRTIO_NET_HDR_GSO_TCPV4;
  header.setUint8(NetHdr.flags, offload === null ? 0 : VIRTIO_NET_HDR_F_NEEDS_CSUM);
  header.setUint8(NetHdr.gso_type, type);
  header.setUint16(NetHdr.hdr_len, headerBytes, true);
  header.setUint16(NetHdr.gso_size, segmentBytes, true);
  header.setUint16(NetHdr.csum_start, checksumStart, true);
  header.setUint16(NetHdr.csum_offset, checksumOffset, true);
}

const NOTHING: Offload = { checksumStart: 0, checksumOffset: 0, segmentBytes: 0, headerBytes: 0 };
