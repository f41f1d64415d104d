// Messages to DHCP servers (RFC 2131, 4.4).
import {
  BOOTREQUEST,
  DHCP_CLIENT_PORT,
  DHCP_MAGIC_COOKIE,
  DHCP_SERVER_PORT,
  DhcpHdr,
  DHO_CLIENT_IDENTIFIER,
  DHO_DOMAIN_NAME_SERVERS,
  DHO_END,
  DHO_INTERFACE_MTU,
  DHO_MESSAGE_TYPE,
  DHO_PARAMETER_REQUEST_LIST,
  DHO_REQUESTED_ADDRESS,
  DHO_ROUTERS,
  DHO_SERVER_IDENTIFIER,
  DHO_SUBNET_MASK,
} from "../../../../abi/dhcp";
import { ARPHRD_ETHER, MAC_BYTES } from "../../../../abi/ethernet";
import { INADDR_ANY } from "../../../../abi/ip";
import { storeMac } from "../../link/card";
import { storeBe16, storeBe32 } from "../bytes";
import { localCard, ownAddress } from "../local";
import { allocateUdp, sendUdp, udpPayload } from "../udp/udp";

/** RFC 1542, 2.1: a shorter message may be dropped on its way. All of our options fit. */
const MESSAGE_BYTES: u32 = 300;

/** A message to send. The rest of it follows from the machine's card and its address. */
@unmanaged
export class Request {
  type: u32; // a DhcpMessage
  xid: u32;
  seconds: u32; // since the client began
  requested: u32; // address, or INADDR_ANY for none, as the next one
  server: u32; // which of those that offered one
  to: u32; // where it goes
}

/** Sends it, if there is memory; otherwise it is lost, as on any network. Does not yield. */
export function sendRequest(request: Request): void {
  const packet = allocateUdp(MESSAGE_BYTES);
  if (!packet) return;
  const at = udpPayload(packet);
  memory.fill(at, 0, MESSAGE_BYTES);
  fillHeader(at, request);
  fillOptions(at + DhcpHdr.sizeof, request);
  sendUdp(packet, DHCP_CLIENT_PORT, request.to, DHCP_SERVER_PORT);
}

/** The flag for broadcasts stays clear: we take frames to an address that we do not have yet. */
function fillHeader(at: usize, request: Request): void {
  store<u8>(at, BOOTREQUEST, DhcpHdr.op);
  store<u8>(at, ARPHRD_ETHER, DhcpHdr.htype);
  store<u8>(at, MAC_BYTES, DhcpHdr.hlen);
  storeBe32(at, request.xid, DhcpHdr.xid);
  storeBe16(at, min<u32>(request.seconds, 0xffff), DhcpHdr.secs);
  storeBe32(at, ownAddress(), DhcpHdr.ciaddr);
  storeMac(at + DhcpHdr.chaddr, localCard().mac);
  storeBe32(at, DHCP_MAGIC_COOKIE, DhcpHdr.cookie);
}

function fillOptions(at: usize, request: Request): void {
  store<u8>(at, DHO_MESSAGE_TYPE);
  store<u8>(at, 1, 1);
  store<u8>(at, <u8>request.type, 2);
  at += 3;
  store<u8>(at, DHO_CLIENT_IDENTIFIER);
  store<u8>(at, MAC_BYTES + 1, 1);
  store<u8>(at, ARPHRD_ETHER, 2);
  storeMac(at + 3, localCard().mac);
  at += 3 + MAC_BYTES;
  if (request.requested != INADDR_ANY) at = putWord(at, DHO_REQUESTED_ADDRESS, request.requested);
  if (request.server != INADDR_ANY) at = putWord(at, DHO_SERVER_IDENTIFIER, request.server);
  store<u8>(at, DHO_PARAMETER_REQUEST_LIST);
  store<u8>(at, 4, 1);
  store<u8>(at, DHO_SUBNET_MASK, 2);
  store<u8>(at, DHO_ROUTERS, 3);
  store<u8>(at, DHO_DOMAIN_NAME_SERVERS, 4);
  store<u8>(at, DHO_INTERFACE_MTU, 5);
  store<u8>(at, DHO_END, 6);
}

function putWord(at: usize, option: u32, value: u32): usize {
  store<u8>(at, <u8>option);
  store<u8>(at, 4, 1);
  storeBe32(at, value, 2);
  return at + 6;
}
