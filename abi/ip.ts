// IPv4 (RFC 791) and ICMP (RFC 792): the wire. Numbers are big-endian.

/** The header without options; its first octet is the version and the length in words. */
export const enum IpHdr {
  tos = 1, // u8
  tot_len = 2, // be16, header included
  id = 4, // be16
  frag_off = 6, // be16, with the flags
  ttl = 8, // u8
  protocol = 9, // u8
  check = 10, // be16
  saddr = 12, // be32
  daddr = 16, // be32
  sizeof = 20,
}
export const IP_VERSION = 4;
/** Bits of frag_off. */
export const IP_DF = 0x4000;
export const IP_MF = 0x2000;
export const IP_OFFMASK = 0x1fff;

/** Options. The first two have no length octet. */
export const IPOPT_END = 0;
export const IPOPT_NOOP = 1;
export const IPOPT_LSRR = 131;
export const IPOPT_SSRR = 137;

export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

export const INADDR_ANY: u32 = 0;
export const INADDR_BROADCAST: u32 = 0xffffffff;
export const INADDR_LOOPBACK: u32 = 0x7f000001;

export const enum IcmpHdr {
  type = 0, // u8
  code = 1, // u8
  checksum = 2, // be16
  un = 4, // by type
  sizeof = 8,
}
/** Echo and echo reply: what `un` holds. Byte offsets from the header. */
export const enum IcmpEcho {
  id = 4, // be16
  sequence = 6, // be16
}
/** Destination unreachable: what `un` holds with the code FRAG_NEEDED (RFC 1191). */
export const enum IcmpUnreach {
  mtu = 6, // be16: of the next hop
}
/** Errors: the header of the packet that they are about follows theirs, with 8 octets or more. */
export const ICMP_QUOTED_BYTES = 8;

/** Values of `type`. */
export const ICMP_ECHOREPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;

/** Values of `code` of ICMP_DEST_UNREACH. */
export const ICMP_NET_UNREACH = 0;
export const ICMP_HOST_UNREACH = 1;
export const ICMP_PROT_UNREACH = 2;
export const ICMP_PORT_UNREACH = 3;
export const ICMP_FRAG_NEEDED = 4;
export const ICMP_NET_UNKNOWN = 6;
export const ICMP_NET_ANO = 9;
export const ICMP_NET_UNR_TOS = 11;
