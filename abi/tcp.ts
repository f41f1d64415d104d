// TCP (RFC 9293): the wire. Numbers are big-endian.

/** The header without options. */
export const enum TcpHdr {
  source = 0, // be16
  dest = 2, // be16
  seq = 4, // be32
  ack_seq = 8, // be32
  doff = 12, // u8: the length of the header in words, in the upper half
  flags = 13, // u8
  window = 14, // be16
  check = 16, // be16
  urg_ptr = 18, // be16
  sizeof = 20,
}
/** With all options. */
export const TCP_HEADER_BYTES_MAX: u32 = 60;

export const TH_FIN = 1;
export const TH_SYN = 2;
export const TH_RST = 4;
export const TH_PUSH = 8;
export const TH_ACK = 16;
export const TH_URG = 32;
/** RFC 3168. */
export const TH_CWR = 128;

/** Options: kind and length. The first two have no length octet. */
export const TCPOPT_EOL = 0;
export const TCPOPT_NOP = 1;
export const TCPOPT_MAXSEG = 2;
export const TCPOLEN_MAXSEG = 4;
/** RFC 7323. */
export const TCPOPT_WINDOW = 3;
export const TCPOLEN_WINDOW = 3;
export const TCPOPT_TIMESTAMP = 8;
export const TCPOLEN_TIMESTAMP = 10;
/** The largest shift of a window. */
export const TCP_MAX_WINSHIFT = 14;
/** RFC 2018. */
export const TCPOPT_SACK_PERMITTED = 4;
export const TCPOLEN_SACK_PERMITTED = 2;
export const TCPOPT_SACK = 5;
/** Of one block. */
export const TCPOLEN_SACK_BLOCK = 8;

/** RFC 9293, 3.7.1: the payload of a segment for a peer that does not say. */
export const TCP_MSS_DEFAULT = 536;
