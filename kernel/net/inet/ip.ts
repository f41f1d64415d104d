// IPv4 (RFC 791, RFC 1122): checks packets that arrive, and sends packets by their next hop. No
// fragments, in either direction (TC7).
import { ETH_P_IP, EthernetHdr } from "../../../abi/ethernet";
import {
  INADDR_ANY,
  INADDR_LOOPBACK,
  IP_DF,
  IP_MF,
  IP_OFFMASK,
  IP_VERSION,
  IpHdr,
  IPOPT_END,
  IPOPT_LSRR,
  IPOPT_NOOP,
  IPOPT_SSRR,
  IPPROTO_UDP,
} from "../../../abi/ip";
import { Errno } from "../../../abi/errno";
import { MAC_BROADCAST, storeMac } from "../link/card";
import { segmentBytesOf } from "../link/offload";
import { Packet, payloadOf } from "../link/packet";
import { FreePacket } from "../link/pool";
import { isHostAddress } from "./address";
import { sendToNeighbour } from "./arp";
import { loadBe16, loadBe32, storeBe16, storeBe32 } from "./bytes";
import { checksum } from "./checksum";
import { allocateFrame, framePayload, sendFrame } from "./frame";
import {
  gateway,
  isBroadcast,
  isExpected,
  isNear,
  isOwn,
  localCard,
  localMtu,
  NO_CARD,
  ownAddress,
  sourceFor,
} from "./local";
import { sendToSelf } from "./loopback";
import { inetStats } from "./stats";

const TTL: u32 = 64;
const HEADER_WORDS: u32 = IpHdr.sizeof / 4;

/** A packet for `bytes` bytes of a protocol, its contents undefined; null: no memory. */
export function allocateIp(bytes: u32): Packet | null {
  return allocateFrame(IpHdr.sizeof + bytes);
}

/** Where the protocol's bytes begin in a packet of allocateIp(). */
export function ipPayload(packet: Packet): usize {
  return framePayload(packet) + IpHdr.sizeof;
}

/** Bytes of the protocol in a packet of allocateIp(). */
export function ipBytesOf(packet: Packet): u32 {
  return packet.length - EthernetHdr.sizeof - IpHdr.sizeof;
}

/** The destination of a packet that sendIp() took. */
export function ipDestination(packet: Packet): u32 {
  return loadBe32(framePayload(packet), IpHdr.daddr);
}

/**
 * Sends a packet of allocateIp(), and owns it, whatever it returns: 0, -ENETDOWN (no card),
 * -EADDRNOTAVAIL (we have no address), -EMSGSIZE (longer than the MTU), -EACCES (a broadcast) or
 * -ENETUNREACH (no gateway). Does not yield.
 */
export function sendIp(packet: Packet, protocol: u32, destination: u32): i32 {
  const error = errorOf(packet, destination);
  if (error < 0) {
    FreePacket(packet);
    return error;
  }
  fillHeader(packet, protocol, destination);
  if (isOwn(destination)) loopBack(packet);
  else sendToNeighbour(isNear(destination) ? destination : gateway(), packet);
  return 0;
}

/**
 * Sends a packet of allocateIp() to all on the network, and owns it, whatever it returns: 0,
 * -ENETDOWN or -EMSGSIZE. We may have no address yet: then its source is 0. Does not yield.
 */
export function broadcastIp(packet: Packet, protocol: u32, destination: u32): i32 {
  assert(isBroadcast(destination), "ip: not a broadcast");
  const error = errorOfSize(packet);
  if (error < 0) {
    FreePacket(packet);
    return error;
  }
  fillHeader(packet, protocol, destination);
  sendFrame(packet, MAC_BROADCAST, ETH_P_IP);
  return 0;
}

/** A frame to ourselves has our address, for those who ask whether it was a broadcast. */
function loopBack(packet: Packet): void {
  storeMac(payloadOf(packet) + EthernetHdr.h_dest, localCard().mac);
  sendToSelf(packet);
}

function errorOf(packet: Packet, destination: u32): i32 {
  const error = errorOfSize(packet);
  if (error < 0 || destination == INADDR_LOOPBACK) return error;
  if (ownAddress() == INADDR_ANY) return -Errno.EADDRNOTAVAIL;
  if (isBroadcast(destination)) return -Errno.EACCES;
  if (!isHostAddress(destination)) return -Errno.ENETUNREACH;
  return isNear(destination) || gateway() != INADDR_ANY ? 0 : -Errno.ENETUNREACH; // TC8
}

function errorOfSize(packet: Packet): i32 {
  const card = localCard();
  if (card == NO_CARD) return -Errno.ENETDOWN;
  const most = segmentBytesOf(packet) == 0 ? localMtu() : card.segmentsBytesMax;
  return packet.length - EthernetHdr.sizeof > most ? -Errno.EMSGSIZE : 0;
}

function fillHeader(packet: Packet, protocol: u32, destination: u32): void {
  const header = framePayload(packet);
  store<u8>(header, <u8>((IP_VERSION << 4) | HEADER_WORDS));
  store<u8>(header, 0, IpHdr.tos);
  storeBe16(header, packet.length - EthernetHdr.sizeof, IpHdr.tot_len);
  storeBe16(header, 0, IpHdr.id); // RFC 6864: it means nothing in what is never fragmented
  storeBe16(header, IP_DF, IpHdr.frag_off);
  store<u8>(header, <u8>TTL, IpHdr.ttl);
  store<u8>(header, <u8>protocol, IpHdr.protocol);
  store<u16>(header, 0, IpHdr.check);
  storeBe32(header, sourceFor(destination), IpHdr.saddr);
  storeBe32(header, destination, IpHdr.daddr);
  store<u16>(header, checksum(header, IpHdr.sizeof), IpHdr.check);
}

export function headerBytesOf(header: usize): u32 {
  return (<u32>load<u8>(header) & 15) << 2;
}

/** Of a packet that is valid: header and payload, without the padding of its frame. */
export function totalBytesOf(header: usize): u32 {
  return loadBe16(header, IpHdr.tot_len);
}

/** Is it a packet for us, in a frame with room for `room` bytes? If not, the reason is counted. */
export function isForUs(header: usize, room: u32): bool {
  const stats = inetStats();
  if (!isWellFormed(header, room)) {
    stats.badHeader++;
    return false;
  }
  if (!isGoodSource(loadBe32(header, IpHdr.saddr))) {
    stats.badSource++;
    return false;
  }
  if (!isOurs(loadBe32(header, IpHdr.daddr), load<u8>(header, IpHdr.protocol))) {
    stats.notOurs++;
    return false;
  }
  if ((loadBe16(header, IpHdr.frag_off) & (IP_MF | IP_OFFMASK)) != 0) {
    stats.fragments++;
    return false;
  }
  return true;
}

/** TC5, TC7. */
function isWellFormed(header: usize, room: u32): bool {
  if (room < <u32>IpHdr.sizeof || load<u8>(header) >> 4 != IP_VERSION) return false;
  const bytes = headerBytesOf(header);
  const total = totalBytesOf(header);
  if (bytes < <u32>IpHdr.sizeof || total < bytes || total > room) return false;
  return checksum(header, bytes) == 0 && hasGoodOptions(header + IpHdr.sizeof, header + bytes);
}

/** Options are skipped, but a packet does not choose its route (RFC 7126, 4.3 and 4.4). */
function hasGoodOptions(at: usize, end: usize): bool {
  while (at < end) {
    const option: u32 = load<u8>(at);
    if (option == IPOPT_END) return true;
    if (option == IPOPT_NOOP) {
      at++;
      continue;
    }
    if (option == IPOPT_LSRR || option == IPOPT_SSRR) {
      inetStats().sourceRoutes++;
      return false;
    }
    const bytes: u32 = at + 1 < end ? load<u8>(at + 1) : 0;
    if (bytes < 2 || bytes > <u32>(end - at)) return false;
    at += bytes;
  }
  return true;
}

/** TC5: a host's address, and not ours. */
function isGoodSource(source: u32): bool {
  return isHostAddress(source) && !isBroadcast(source) && source != ownAddress();
}

/** TC6. */
function isOurs(destination: u32, protocol: u32): bool {
  // Without an address: what a DHCP server sends, to the address that it offers or to all.
  if (ownAddress() == INADDR_ANY) return isExpected() && protocol == IPPROTO_UDP;
  if (destination == ownAddress()) return true;
  return protocol == IPPROTO_UDP && isBroadcast(destination);
}
