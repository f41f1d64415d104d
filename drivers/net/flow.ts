// The flow that a frame to send belongs to: all its frames take the same pair of queues, and the
// device sends those of the other direction there (NW30).
import { ETH_P_IP, EthernetHdr } from "../../abi/ethernet";
import { IpHdr, IPPROTO_TCP, IPPROTO_UDP } from "../../abi/ip";
import { Packet, payloadOf, segmentOf } from "../../kernel/net/link/packet";

/** Of what this machine sends: IPv4 without options. */
const PORTS: u32 = EthernetHdr.sizeof + IpHdr.sizeof;
const PORTS_BYTES: u32 = 4;

/** A number that is the same for all frames of a connection; 0: it is of none. */
export function flowOf(packet: Packet): u32 {
  const isGathered = packet.segments != 0;
  const frame = isGathered ? segmentOf(packet, 0).base : payloadOf(packet);
  const bytes = isGathered ? segmentOf(packet, 0).length : packet.length;
  if (bytes < PORTS + PORTS_BYTES) return 0;
  if (bswap(load<u16>(frame, EthernetHdr.h_proto)) != ETH_P_IP) return 0;
  const protocol: u32 = load<u8>(frame + EthernetHdr.sizeof, IpHdr.protocol);
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return 0;
  const peer = load<u32>(frame + EthernetHdr.sizeof, IpHdr.daddr);
  return hash(peer ^ load<u32>(frame + PORTS) ^ protocol);
}

/** Knuth, 6.4: the upper bits depend on all. */
function hash(key: u32): u32 {
  return (key * 0x9e37_79b1) >> 16;
}
