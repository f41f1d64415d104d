// UDP (RFC 768): the wire. Numbers are big-endian.

export const enum UdpHdr {
  source = 0, // be16
  dest = 2, // be16
  len = 4, // be16, header included
  check = 6, // be16; 0: none was computed
  sizeof = 8,
}
