// A frame in a few words, for people who look at a ring or a trace.
import { ARPOP_REQUEST, ArpHdr, ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet.ts";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IpHdr } from "../../../abi/ip.ts";
import { NetHdr } from "../../../abi/net.ts";

/** Of a frame: the bytes that its name depends on. */
export const NAMED_BYTES = EthernetHdr.sizeof + IpHdr.sizeof;
const PAYLOAD = EthernetHdr.sizeof;
const PROTOCOLS: Readonly<Record<number, string>> = {
  [IPPROTO_ICMP]: "ICMP",
  [IPPROTO_TCP]: "TCP",
  [IPPROTO_UDP]: "UDP",
};

/** By the first bytes of a transmit chain; "": there is no frame. */
export function describeFrame({ buffer, byteOffset, byteLength }: DataView): string {
  if (byteLength < NetHdr.sizeof + EthernetHdr.sizeof) return "";
  return nameOf(new DataView(buffer, byteOffset + NetHdr.sizeof, byteLength - NetHdr.sizeof));
}

/** By the first bytes of a frame, its header at least. */
export function nameOf(frame: DataView): string {
  const type = frame.getUint16(EthernetHdr.h_proto);
  if (type === ETH_P_ARP && frame.byteLength >= PAYLOAD + ArpHdr.sizeof) {
    return frame.getUint16(PAYLOAD + ArpHdr.ar_op) === ARPOP_REQUEST ? "ARP request" : "ARP reply";
  }
  if (type === ETH_P_IP && frame.byteLength >= PAYLOAD + IpHdr.sizeof) {
    const protocol = frame.getUint8(PAYLOAD + IpHdr.protocol);
    return `IPv4 ${PROTOCOLS[protocol] ?? `protocol ${protocol}`}`;
  }
  return `EtherType 0x${type.toString(16).padStart(4, "0")}`;
}
