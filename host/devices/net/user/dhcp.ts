// The DHCP server (RFC 2131, 2132) of a network that has one address for each machine, always the
// same one (NB21): there is no table, whatever the guest says (NG12).

import {
  BOOTREPLY,
  BOOTREQUEST,
  DHCP_CLIENT_PORT,
  DHCP_MAGIC_COOKIE,
  DHCP_SERVER_PORT,
  DHO_DOMAIN_NAME_SERVERS,
  DHO_END,
  DHO_INTERFACE_MTU,
  DHO_LEASE_TIME,
  DHO_MESSAGE_TYPE,
  DHO_PAD,
  DHO_REQUESTED_ADDRESS,
  DHO_ROUTERS,
  DHO_SERVER_IDENTIFIER,
  DHO_SUBNET_MASK,
  DhcpHdr,
  DhcpMessage,
} from "../../../../abi/dhcp.ts";
import { ARPHRD_ETHER, MAC_BYTES } from "../../../../abi/ethernet.ts";
import { INADDR_ANY, INADDR_BROADCAST } from "../../../../abi/ip.ts";
import type { Frame } from "../frame.ts";
import { readMac } from "../mac.ts";
import { GATEWAY, RESOLVER, SUBNET_MASK } from "./address.ts";
import { type Datagram, payloadAt, writeDatagram } from "./datagram.ts";
import type { Departure } from "./departure.ts";

/** A day: an idle guest wakes up for half of it. */
const LEASE_SECONDS = 86400;
/** The least that BOOTP permits (RFC 951); the rest is zero. */
const REPLY_BYTES = 300;
const FLAG_BROADCAST = 0x8000;

/** The one lease of a card. */
export interface Lease {
  readonly mac: number;
  readonly address: number;
  readonly mtu: number;
}

/** A client's message, as far as a server with one lease looks at it. */
interface Request {
  type: number;
  /** 0: missing. */
  requested: number;
  server: number;
}

/** The answer to a datagram for the server's port. null: there is none. */
export function answerDhcp(
  { at, bytes }: Datagram,
  departure: Departure,
  lease: Lease,
): Frame | null {
  const { view } = departure;
  if (bytes < DhcpHdr.sizeof || !isFrom(view, at, lease.mac)) return null;
  const request = readOptions(view, at + DhcpHdr.sizeof, at + bytes);
  const client = view.getUint32(at + DhcpHdr.ciaddr);
  const type = answerType(request, client, lease.address);
  if (type === 0) return null;
  const gives = type !== DhcpMessage.NAK && request.type !== DhcpMessage.INFORM;
  return reply(at, departure, lease, { type, client, gives });
}

function isFrom(view: DataView, at: number, mac: number): boolean {
  return (
    view.getUint8(at + DhcpHdr.op) === BOOTREQUEST &&
    view.getUint8(at + DhcpHdr.htype) === ARPHRD_ETHER &&
    view.getUint8(at + DhcpHdr.hlen) === MAC_BYTES &&
    view.getUint32(at + DhcpHdr.cookie) === DHCP_MAGIC_COOKIE &&
    readMac(view, at + DhcpHdr.chaddr) === mac
  );
}

/** Options end with DHO_END, or where one would reach beyond the message. */
function readOptions(view: DataView, from: number, end: number): Request {
  const request: Request = { type: 0, requested: 0, server: 0 };
  for (let at = from; at + 1 < end; ) {
    const option = view.getUint8(at);
    if (option === DHO_END) break;
    if (option === DHO_PAD) {
      at++;
      continue;
    }
    const length = view.getUint8(at + 1);
    const value = at + 2;
    at = value + length;
    if (at > end) break;
    if (option === DHO_MESSAGE_TYPE && length === 1) request.type = view.getUint8(value);
    else if (length !== 4) continue;
    else if (option === DHO_REQUESTED_ADDRESS) request.requested = view.getUint32(value);
    else if (option === DHO_SERVER_IDENTIFIER) request.server = view.getUint32(value);
  }
  return request;
}

/** The type of the answer (RFC 2131, 4.3); 0: none. */
function answerType({ type, requested, server }: Request, client: number, address: number): number {
  switch (type) {
    case DhcpMessage.DISCOVER:
      return DhcpMessage.OFFER;
    case DhcpMessage.INFORM:
      return DhcpMessage.ACK;
    case DhcpMessage.REQUEST:
      if (server !== 0 && server !== GATEWAY) return 0; // it has chosen another one
      return (requested || client) === address ? DhcpMessage.ACK : DhcpMessage.NAK;
    default:
      return 0; // DECLINE and RELEASE change nothing: the address is the card's
  }
}

/** An answer: its type, the address that the client has, and does it give the lease? */
interface Answer {
  readonly type: number;
  readonly client: number;
  readonly gives: boolean;
}

/** `asked` is the address of the request. */
function reply(asked: number, departure: Departure, lease: Lease, answer: Answer): Frame {
  const { view, memory } = departure;
  const at = payloadAt(departure);
  memory.u8.fill(0, at, at + REPLY_BYTES);
  // xid, flags and chaddr are the client's.
  memory.u8.copyWithin(at + DhcpHdr.xid, asked + DhcpHdr.xid, asked + DhcpHdr.secs);
  memory.u8.copyWithin(at + DhcpHdr.flags, asked + DhcpHdr.flags, asked + DhcpHdr.ciaddr);
  memory.u8.copyWithin(at + DhcpHdr.chaddr, asked + DhcpHdr.chaddr, asked + DhcpHdr.sname);
  view.setUint8(at + DhcpHdr.op, BOOTREPLY);
  view.setUint8(at + DhcpHdr.htype, ARPHRD_ETHER);
  view.setUint8(at + DhcpHdr.hlen, MAC_BYTES);
  view.setUint32(at + DhcpHdr.cookie, DHCP_MAGIC_COOKIE);
  if (answer.type !== DhcpMessage.NAK) view.setUint32(at + DhcpHdr.ciaddr, answer.client);
  if (answer.gives) view.setUint32(at + DhcpHdr.yiaddr, lease.address);
  writeOptions(view, at + DhcpHdr.sizeof, answer, lease.mtu);
  const isBroadcast = (view.getUint16(asked + DhcpHdr.flags) & FLAG_BROADCAST) !== 0;
  const destination = destinationOf(answer, lease.address, isBroadcast);
  const ports = { sourcePort: DHCP_SERVER_PORT, port: DHCP_CLIENT_PORT };
  return writeDatagram(
    departure,
    lease.mac,
    { source: GATEWAY, destination, ...ports },
    REPLY_BYTES,
  );
}

/** RFC 2131, 4.1 */
function destinationOf({ type, client }: Answer, address: number, isBroadcast: boolean): number {
  if (type === DhcpMessage.NAK) return INADDR_BROADCAST;
  if (client !== INADDR_ANY) return client;
  return isBroadcast ? INADDR_BROADCAST : address;
}

function writeOptions(view: DataView, from: number, { type, gives }: Answer, mtu: number): void {
  let at = from;
  const word = (option: number, value: number): void => {
    view.setUint16(at, (option << 8) | 4);
    view.setUint32(at + 2, value);
    at += 6;
  };
  view.setUint16(at, (DHO_MESSAGE_TYPE << 8) | 1);
  view.setUint8(at + 2, type);
  at += 3;
  word(DHO_SERVER_IDENTIFIER, GATEWAY);
  if (gives) word(DHO_LEASE_TIME, LEASE_SECONDS);
  if (type !== DhcpMessage.NAK) {
    word(DHO_SUBNET_MASK, SUBNET_MASK);
    word(DHO_ROUTERS, GATEWAY);
    word(DHO_DOMAIN_NAME_SERVERS, RESOLVER);
    view.setUint16(at, (DHO_INTERFACE_MTU << 8) | 2);
    view.setUint16(at + 2, mtu);
    at += 4;
  }
  view.setUint8(at, DHO_END);
}
