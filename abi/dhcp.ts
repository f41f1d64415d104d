// DHCP (RFC 2131, RFC 2132): the wire, as far as torito speaks it. Numbers are big-endian.

export const DHCP_SERVER_PORT = 67;
export const DHCP_CLIENT_PORT = 68;

/** The header; the options follow. */
export const enum DhcpHdr {
  op = 0, // u8
  htype = 1, // u8
  hlen = 2, // u8
  hops = 3, // u8
  xid = 4, // be32
  secs = 8, // be16
  flags = 10, // be16
  ciaddr = 12, // be32: the client's, which it has already
  yiaddr = 16, // be32: the client's, as the server gives it
  siaddr = 20, // be32
  giaddr = 24, // be32
  chaddr = 28, // 16 octets
  sname = 44, // 64 octets
  file = 108, // 128 octets
  cookie = 236, // be32
  sizeof = 240,
}
export const BOOTREQUEST = 1;
export const BOOTREPLY = 2;
export const DHCP_MAGIC_COOKIE: u32 = 0x63825363;
/** A client takes messages of that many bytes at least, with the headers of IP and UDP. */
export const DHCP_MESSAGE_BYTES: u32 = 576;

/** Options. The first and the last have no length octet. */
export const DHO_PAD = 0;
export const DHO_SUBNET_MASK = 1;
export const DHO_ROUTERS = 3;
export const DHO_DOMAIN_NAME_SERVERS = 6;
export const DHO_INTERFACE_MTU = 26;
export const DHO_REQUESTED_ADDRESS = 50;
export const DHO_LEASE_TIME = 51;
export const DHO_OVERLOAD = 52;
export const DHO_MESSAGE_TYPE = 53;
export const DHO_SERVER_IDENTIFIER = 54;
export const DHO_PARAMETER_REQUEST_LIST = 55;
export const DHO_RENEWAL_TIME = 58;
export const DHO_REBINDING_TIME = 59;
export const DHO_CLIENT_IDENTIFIER = 61;
export const DHO_END = 255;

/** Values of DHO_MESSAGE_TYPE. */
export const enum DhcpMessage {
  DISCOVER = 1,
  OFFER = 2,
  REQUEST = 3,
  DECLINE = 4,
  ACK = 5,
  NAK = 6,
  RELEASE = 7,
  INFORM = 8,
}
