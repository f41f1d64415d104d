// Work on a frame that its card does: completing a checksum, and cutting a long segment of TCP. It
// is asked for, and told, in the header of virtio-net (5.1.6), which lies in front of the frame.
//
// The sender of a frame calls clearOffload() first, and then one of the others, if any.
import { EthernetHdr } from "../../../abi/ethernet";
import { IpHdr } from "../../../abi/ip";
import {
  NetHdr,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
} from "../../../abi/net";
import { TcpHdr } from "../../../abi/tcp";
import { EthernetCard } from "./card";
import { Packet, wireHeaderOf } from "./packet";

const CHECKSUM_BYTES: u32 = 2;
/** Where TCP begins in what this machine sends: IPv4 without options. */
const TCP_START: u32 = EthernetHdr.sizeof + IpHdr.sizeof;

function offloadOf(packet: Packet): usize {
  return wireHeaderOf(packet, NetHdr.sizeof);
}

// Frames to send.

/** The frame is complete as it is. Without this call the header of a new packet is noise. */
export function clearOffload(packet: Packet): void {
  memory.fill(offloadOf(packet), 0, NetHdr.sizeof);
}

/**
 * Asks the card to sum the frame from byte `start`, where the header of TCP or UDP begins, to its
 * end, and to store the result `offset` bytes after `start`. The sender has put the folded sum of
 * the pseudo header there, not inverted (NW12). Only if card.sendsChecksums.
 */
export function askChecksum(packet: Packet, start: u32, offset: u32): void {
  const header = offloadOf(packet);
  store<u8>(header, VIRTIO_NET_HDR_F_NEEDS_CSUM, NetHdr.flags);
  store<u16>(header, <u16>start, NetHdr.csum_start);
  store<u16>(header, <u16>offset, NetHdr.csum_offset);
}

/**
 * Asks the card to cut a frame of IPv4, without options, and TCP into segments of `segmentBytes`
 * bytes of payload. Each gets the headers, `headerBytes` bytes in all, with complete checksums. The
 * frame's checksum of TCP is as for askChecksum(), over the length of the whole. Only if the IP
 * packet is within card.segmentsBytesMax.
 */
export function askSegmentation(packet: Packet, headerBytes: u32, segmentBytes: u32): void {
  askChecksum(packet, TCP_START, TcpHdr.check);
  const header = offloadOf(packet);
  store<u8>(header, VIRTIO_NET_HDR_GSO_TCPV4, NetHdr.gso_type);
  store<u16>(header, <u16>headerBytes, NetHdr.hdr_len);
  store<u16>(header, <u16>segmentBytes, NetHdr.gso_size);
}

/** Driver: checks what the sender of a frame has asked of its card (NW10 to NW13). */
export function assertOffload(packet: Packet, card: EthernetCard): void {
  const header = offloadOf(packet);
  const flags: u32 = load<u8>(header, NetHdr.flags);
  const start: u32 = load<u16>(header, NetHdr.csum_start);
  const end = start + load<u16>(header, NetHdr.csum_offset) + CHECKSUM_BYTES;
  assert(load<u16>(header, NetHdr.num_buffers) == 0, "offload: clearOffload() was forgotten");
  if (flags == 0) {
    assert(load<u8>(header, NetHdr.gso_type) == VIRTIO_NET_HDR_GSO_NONE, "offload: no checksum");
    return;
  }
  assert(flags == VIRTIO_NET_HDR_F_NEEDS_CSUM && card.sendsChecksums, "offload: wrong flags");
  assert(start >= <u32>EthernetHdr.sizeof && end <= packet.length, "offload: not in the frame");
  if (load<u8>(header, NetHdr.gso_type) == VIRTIO_NET_HDR_GSO_NONE) return;
  const headerBytes: u32 = load<u16>(header, NetHdr.hdr_len);
  assert(card.segmentsBytesMax != 0, "offload: the card cuts nothing");
  assert(load<u8>(header, NetHdr.gso_type) == VIRTIO_NET_HDR_GSO_TCPV4, "offload: wrong type");
  assert(segmentBytesOf(packet) != 0, "offload: no segments");
  assert(headerBytes >= end && headerBytes <= packet.length, "offload: wrong headers");
}

// Frames that have arrived. The driver has cleared what was not negotiated.

/** Has the device checked the sum of TCP or UDP, or is it of this host, and needs none (NW25)? */
export function isChecksumGood(packet: Packet): bool {
  const good: u32 = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
  return (load<u8>(offloadOf(packet), NetHdr.flags) & good) != 0;
}

/** Payload bytes of each segment that a frame stands for, received or to send; 0: it is one. */
export function segmentBytesOf(packet: Packet): u32 {
  const header = offloadOf(packet);
  if (load<u8>(header, NetHdr.gso_type) == VIRTIO_NET_HDR_GSO_NONE) return 0;
  return load<u16>(header, NetHdr.gso_size);
}
