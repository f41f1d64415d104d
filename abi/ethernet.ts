// Ethernet frames (IEEE 802.3) and ARP (RFC 826): the wire. Numbers are big-endian.

/** The header of a frame; no VLAN tag, no checksum at the end. Byte offsets. */
export const enum EthernetHdr {
  h_dest = 0, // 6 octets
  h_source = 6, // 6 octets
  h_proto = 12, // be16
  sizeof = 14,
}
export const MAC_BYTES = 6;

/** EtherTypes. */
export const ETH_P_IP = 0x0800;
export const ETH_P_ARP = 0x0806;
export const ETH_P_IPV6 = 0x86dd;

/** The fixed part of an ARP packet. Byte offsets. */
export const enum ArpHdr {
  ar_hrd = 0, // be16
  ar_pro = 2, // be16
  ar_hln = 4, // u8
  ar_pln = 5, // u8
  ar_op = 6, // be16
  sizeof = 8,
}
/** An ARP packet for IPv4 over Ethernet. Byte offsets. */
export const enum EtherArp {
  ea_hdr = 0,
  arp_sha = 8, // 6 octets
  arp_spa = 14, // be32
  arp_tha = 18, // 6 octets
  arp_tpa = 24, // be32
  sizeof = 28,
}
export const ARPHRD_ETHER = 1;
export const ARPOP_REQUEST = 1;
export const ARPOP_REPLY = 2;
