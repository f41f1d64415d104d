// The header of a received frame (virtio 5.1.6.4): is it one that the device may have written?
import { EthernetHdr } from "../../abi/ethernet";
import {
  NET_FRAME_BYTES_MAX,
  NetHdr,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
} from "../../abi/net";
import { frameBytesMax } from "../../kernel/net/link/card";
import { Packet, wireHeaderOf } from "../../kernel/net/link/packet";
import { NetDriver } from "./driver";

const CHECKSUM_BYTES: u32 = 2;

/**
 * Does the header of a frame of `length` bytes follow the rules? Hints, unknown flags, and
 * fields that no flag makes valid do not matter (NW24); flags that were not negotiated are cleared,
 * so that nobody relies on them.
 */
export function isGoodHeader(driver: NetDriver, packet: Packet, length: u32): bool {
  const header = wireHeaderOf(packet, NetHdr.sizeof);
  const flags: u32 = load<u8>(header, NetHdr.flags);
  const type: u32 = load<u8>(header, NetHdr.gso_type);
  const needsChecksum = (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  const hasChecksums = driver.device.has(VIRTIO_NET_F_GUEST_CSUM);
  if (length < <u32>EthernetHdr.sizeof) return false; // ND1
  if (needsChecksum && !(hasChecksums && isInFrame(header, length))) return false; // ND4
  if (type != VIRTIO_NET_HDR_GSO_NONE) {
    if (type != VIRTIO_NET_HDR_GSO_TCPV4 || !needsChecksum) return false;
    if (!driver.device.has(VIRTIO_NET_F_GUEST_TSO4)) return false;
    if (load<u16>(header, NetHdr.gso_size) == 0) return false; // ND5
  }
  const isOne = type == VIRTIO_NET_HDR_GSO_NONE;
  if (length > (isOne ? frameBytesMax(driver.card) : NET_FRAME_BYTES_MAX)) return false;
  const known: u32 = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
  store<u8>(header, <u8>(hasChecksums ? flags & known : 0), NetHdr.flags);
  return true;
}

/** ND5. */
function isInFrame(header: usize, bytes: u32): bool {
  const start: u32 = load<u16>(header, NetHdr.csum_start);
  const offset: u32 = load<u16>(header, NetHdr.csum_offset);
  return start >= <u32>EthernetHdr.sizeof && start + offset + CHECKSUM_BYTES <= bytes;
}
