// Others report on packets that we have sent: nobody has the address, or ICMP (RFC 1122, 4.2.3.9).
import { IpHdr, IPPROTO_TCP } from "../../../../abi/ip";
import { TcpHdr } from "../../../../abi/tcp";
import { Errno } from "../../../../abi/errno";
import { Packet } from "../../link/packet";
import { NO_SOCKET } from "../../socket/socket";
import { findSocket } from "../../socket/table";
import { loadBe16, loadBe32 } from "../bytes";
import { framePayload } from "../frame";
import { IcmpError, IcmpErrorKind } from "../icmp-errors";
import { ipPayload } from "../ip";
import { localCard } from "../local";
import { lowerMss } from "./handshake";
import { endConnection } from "./life";
import { isBefore } from "./sequence";
import { Tcb, tcbOf, TcpState } from "./tcb";

/** TC3: nobody has the address that a packet was for. */
export function tcpUnreachable(packet: Packet): void {
  const header = framePayload(packet);
  if (load<u8>(header, IpHdr.protocol) != IPPROTO_TCP) return;
  const tcp = ipPayload(packet);
  const s = findSocket(
    IPPROTO_TCP,
    localCard().iface,
    loadBe16(tcp, TcpHdr.source),
    loadBe32(header, IpHdr.daddr),
    loadBe16(tcp, TcpHdr.dest),
  );
  if (s != NO_SOCKET && tcbOf(s).state == TcpState.SynSent) endConnection(s, Errno.EHOSTUNREACH);
}

/** TC9: an error by ICMP about a segment that is in flight (RFC 5927); others are made up. */
export function icmpError(error: IcmpError): void {
  const s = findSocket(
    IPPROTO_TCP,
    localCard().iface,
    error.localPort,
    error.remoteAddress,
    error.remotePort,
  );
  if (s == NO_SOCKET) return;
  const t = tcbOf(s);
  if (t.state == TcpState.Closed || !isInFlight(t, error.sequence)) return;
  if (error.kind == IcmpErrorKind.TooLong) lowerMss(s, error.mtu);
  else if (t.state == TcpState.SynSent) endConnection(s, errnoOf(error.kind));
}

function isInFlight(t: Tcb, seq: u32): bool {
  return !isBefore(seq, t.una) && isBefore(seq, t.top);
}

function errnoOf(kind: IcmpErrorKind): i32 {
  switch (kind) {
    case IcmpErrorKind.PortUnreachable:
    case IcmpErrorKind.ProtocolUnreachable:
      return Errno.ECONNREFUSED;
    case IcmpErrorKind.NetUnreachable:
      return Errno.ENETUNREACH;
    default:
      return Errno.EHOSTUNREACH;
  }
}
