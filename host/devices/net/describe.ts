// A frame, or a command of the driver, in a few words, for people who look at a ring or a trace.
import { ARPOP_REQUEST, ArpHdr, ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet.ts";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "../../../abi/ip.ts";
import {
  NetControl,
  NetHdr,
  VIRTIO_NET_CTRL_ANNOUNCE,
  VIRTIO_NET_CTRL_MAC,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_RX,
} from "../../../abi/net.ts";
import { Headline } from "./headline.ts";

const PAYLOAD = EthernetHdr.sizeof;
const PROTOCOLS: Readonly<Record<number, string>> = {
  [IPPROTO_ICMP]: "ICMP",
  [IPPROTO_TCP]: "TCP",
  [IPPROTO_UDP]: "UDP",
};
/** The lowest bit first. */
const FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
export const FLAGS_MASK = 63;
const COMMANDS: Readonly<Record<number, string>> = {
  [VIRTIO_NET_CTRL_RX]: "RX",
  [VIRTIO_NET_CTRL_MAC]: "MAC",
  [VIRTIO_NET_CTRL_ANNOUNCE]: "ANNOUNCE",
  [VIRTIO_NET_CTRL_MQ]: "MQ",
};

const headline = new Headline();

/** By the first bytes of a transmit chain, as in "TCP PSH+ACK 80 -> 49152"; "": no frame. */
export function describeFrame({ buffer, byteOffset, byteLength }: DataView): string {
  const bytes = byteLength - NetHdr.sizeof;
  if (bytes < EthernetHdr.sizeof) return "";
  const frame = new DataView(buffer, byteOffset + NetHdr.sizeof, bytes);
  headline.read(frame, bytes);
  const name = nameOf(headline, frame);
  const { hasPorts, sourcePort, destPort } = headline;
  return hasPorts ? `${name} ${sourcePort} -> ${destPort}` : name;
}

/** By the first bytes of a chain of the control queue; "": there is no command. */
export function describeCommand(head: DataView): string {
  if (head.byteLength < NetControl.data) return "";
  const kind = head.getUint8(NetControl.class_);
  return `${COMMANDS[kind] ?? `class ${kind}`} command ${head.getUint8(NetControl.command)}`;
}

/** `frame`: the first bytes of a frame, which `of` has read. */
export function nameOf(of: Headline, frame: DataView): string {
  if (of.type === ETH_P_ARP && frame.byteLength >= PAYLOAD + ArpHdr.sizeof) {
    return frame.getUint16(PAYLOAD + ArpHdr.ar_op) === ARPOP_REQUEST ? "ARP request" : "ARP reply";
  }
  if (of.type !== ETH_P_IP) return `EtherType 0x${of.type.toString(16).padStart(4, "0")}`;
  if (of.protocol === IPPROTO_TCP && of.hasPorts) return `TCP ${flagsText(of.flags)}`;
  return PROTOCOLS[of.protocol] ?? `IPv4 protocol ${of.protocol}`;
}

/** As in "SYN+ACK"; "none". */
function flagsText(flags: number): string {
  return FLAGS.filter((_, bit) => ((flags >> bit) & 1) === 1).join("+") || "none";
}
