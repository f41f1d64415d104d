// Errors by ICMP (RFC 792, RFC 1122, 3.2.2): those that arrive go to the protocol whose packet they
// are about; those that we send are few, and never about an error, a broadcast or a fragment.
import { EthernetHdr } from "../../../abi/ethernet";
import {
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_NET_ANO,
  ICMP_NET_UNKNOWN,
  ICMP_NET_UNR_TOS,
  ICMP_NET_UNREACH,
  ICMP_PORT_UNREACH,
  ICMP_PROT_UNREACH,
  ICMP_QUOTED_BYTES,
  ICMP_TIME_EXCEEDED,
  IcmpHdr,
  IcmpUnreach,
  IP_OFFMASK,
  IP_VERSION,
  IpHdr,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "../../../abi/ip";
import { beginAtomic, endAtomic } from "../../scheduler";
import { isGroupMac } from "../link/card";
import { loadBe16, loadBe32 } from "./bytes";
import { checksum } from "./checksum";
import { destinationOf } from "./frame";
import { allocateIp, headerBytesOf, ipPayload, sendIp, totalBytesOf } from "./ip";
import { isBroadcast } from "./local";
import { allows, Rate } from "./rate";
import { inetStats } from "./stats";

export const enum IcmpErrorKind {
  NetUnreachable,
  HostUnreachable,
  ProtocolUnreachable,
  PortUnreachable,
  TooLong, // fragmentation needed: `mtu` says what fits
  TimeExceeded,
}

/** An error about a packet that we sent, or seem to have sent: anybody can make one up. */
@unmanaged
export class IcmpError {
  kind: IcmpErrorKind;
  mtu: u32; // of TooLong, as the router says it: 0 if it is an old one
  localPort: u32;
  remotePort: u32;
  localAddress: u32;
  remoteAddress: u32;
  sequence: u32; // TCP: of the first octet of the segment
}

/** TC10: errors that we send in a second. */
const ERRORS_MAX: u32 = 10;
const rate = changetype<Rate>(memory.data(offsetof<Rate>()));

const arrived = changetype<IcmpError>(memory.data(offsetof<IcmpError>()));
let tcpHandler: u32 = 0;
let udpHandler: u32 = 0;

/**
 * Errors about packets of a protocol, TCP or UDP, go to `handler`, the table index of
 * (error: IcmpError): void, which must not yield. The record is the caller's.
 */
export function onIcmpError(protocol: u32, handler: u32): void {
  assert(protocol == IPPROTO_TCP || protocol == IPPROTO_UDP, "icmp: nobody hands these out");
  if (protocol == IPPROTO_TCP) tcpHandler = handler;
  else udpHandler = handler;
}

/** Is it a type that receiveIcmpError() takes? */
export function isIcmpError(type: u32): bool {
  return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED;
}

/** TC9: a message of isIcmpError(), with `bytes` bytes and a good checksum, has come to `own`. */
export function receiveIcmpError(icmp: usize, bytes: u32, own: u32): void {
  const quoted = icmp + IcmpHdr.sizeof;
  if (!isWellQuoted(quoted, bytes - IcmpHdr.sizeof, own)) {
    inetStats().badIcmpErrors++;
    return;
  }
  const protocol: u32 = load<u8>(quoted, IpHdr.protocol);
  const transport = quoted + headerBytesOf(quoted);
  const isTooLong =
    load<u8>(icmp, IcmpHdr.type) == ICMP_DEST_UNREACH &&
    load<u8>(icmp, IcmpHdr.code) == ICMP_FRAG_NEEDED;
  arrived.kind = kindOf(load<u8>(icmp, IcmpHdr.type), load<u8>(icmp, IcmpHdr.code));
  arrived.mtu = isTooLong ? loadBe16(icmp, IcmpUnreach.mtu) : 0;
  arrived.localAddress = own;
  arrived.remoteAddress = loadBe32(quoted, IpHdr.daddr);
  // TCP and UDP begin alike: two ports, and 4 octets that are TCP's sequence number.
  arrived.localPort = loadBe16(transport, 0);
  arrived.remotePort = loadBe16(transport, 2);
  arrived.sequence = loadBe32(transport, 4);
  if (protocol == IPPROTO_TCP) handOut(tcpHandler);
  else if (protocol == IPPROTO_UDP) handOut(udpHandler);
}

function handOut(handler: u32): void {
  if (handler == 0) return;
  beginAtomic();
  call_indirect<void>(handler, arrived);
  endAtomic();
}

/** Does it quote enough of a packet that can be ours? */
function isWellQuoted(quoted: usize, bytes: u32, own: u32): bool {
  if (bytes < <u32>IpHdr.sizeof || load<u8>(quoted) >> 4 != IP_VERSION) return false;
  const headerBytes = headerBytesOf(quoted);
  if (headerBytes < <u32>IpHdr.sizeof || bytes < headerBytes + ICMP_QUOTED_BYTES) return false;
  if ((loadBe16(quoted, IpHdr.frag_off) & IP_OFFMASK) != 0) return false; // its ports are elsewhere
  return loadBe32(quoted, IpHdr.saddr) == own;
}

function kindOf(type: u32, code: u32): IcmpErrorKind {
  if (type == ICMP_TIME_EXCEEDED) return IcmpErrorKind.TimeExceeded;
  switch (code) {
    case ICMP_PROT_UNREACH:
      return IcmpErrorKind.ProtocolUnreachable;
    case ICMP_PORT_UNREACH:
      return IcmpErrorKind.PortUnreachable;
    case ICMP_FRAG_NEEDED:
      return IcmpErrorKind.TooLong;
    case ICMP_NET_UNREACH:
    case ICMP_NET_UNKNOWN:
    case ICMP_NET_ANO:
    case ICMP_NET_UNR_TOS:
      return IcmpErrorKind.NetUnreachable;
    default:
      return IcmpErrorKind.HostUnreachable;
  }
}

/**
 * Tells the sender of a packet that nobody has its port. `header` is that of IP, valid, with that
 * of a frame before it. Nothing is sent about a broadcast, nor beyond ERRORS_MAX (TC10).
 */
export function sendPortUnreachable(header: usize): void {
  if (isBroadcast(loadBe32(header, IpHdr.daddr))) return;
  if (isGroupMac(destinationOf(header - EthernetHdr.sizeof))) return; // RFC 1122, 3.2.2
  if (!allows(rate, ERRORS_MAX)) {
    inetStats().errorsLimited++;
    return;
  }
  const bytes = min(totalBytesOf(header), headerBytesOf(header) + ICMP_QUOTED_BYTES);
  const packet = allocateIp(IcmpHdr.sizeof + bytes);
  if (!packet) return;
  const icmp = ipPayload(packet);
  memory.fill(icmp, 0, IcmpHdr.sizeof);
  store<u8>(icmp, ICMP_DEST_UNREACH, IcmpHdr.type);
  store<u8>(icmp, ICMP_PORT_UNREACH, IcmpHdr.code);
  memory.copy(icmp + IcmpHdr.sizeof, header, bytes);
  store<u16>(icmp, checksum(icmp, IcmpHdr.sizeof + bytes), IcmpHdr.checksum);
  if (sendIp(packet, IPPROTO_ICMP, loadBe32(header, IpHdr.saddr)) == 0) inetStats().errorsSent++;
}
