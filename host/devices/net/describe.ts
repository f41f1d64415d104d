// A frame in a few words, for people who look at a ring.
import { ARPOP_REQUEST, ArpHdr, ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet.ts";
import { IPPROTO_ICMP, IPPROTO_UDP, IpHdr } from "../../../abi/ip.ts";
import { NetHdr } from "../../../abi/net.ts";

const PAYLOAD = NetHdr.sizeof + EthernetHdr.sizeof;
const PROTOCOLS: Readonly<Record<number, string>> = {
  [IPPROTO_ICMP]: "ICMP",
  [IPPROTO_UDP]: "UDP",
};

/** By the first bytes of a transmit chain; "": there is no frame. */
export function describeFrame(head: DataView): string {
  if (head.byteLength < PAYLOAD) return "";
  const type = head.getUint16(NetHdr.sizeof + EthernetHdr.h_proto);
  if (type === ETH_P_ARP && head.byteLength >= PAYLOAD + ArpHdr.sizeof) {
    return head.getUint16(PAYLOAD + ArpHdr.ar_op) === ARPOP_REQUEST ? "ARP request" : "ARP reply";
  }
  if (type === ETH_P_IP && head.byteLength >= PAYLOAD + IpHdr.sizeof) {
    const protocol = head.getUint8(PAYLOAD + IpHdr.protocol);
    return `IPv4 ${PROTOCOLS[protocol] ?? `protocol ${protocol}`}`;
  }
  return `EtherType 0x${type.toString(16).padStart(4, "0")}`;
}
