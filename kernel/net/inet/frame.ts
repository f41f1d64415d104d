// Ethernet frames: making and sending them.
import { EthernetHdr } from "../../../abi/ethernet";
import { loadMac, storeMac } from "../link/card";
import { SysNetworkSend } from "../link/interface";
import { clearOffload } from "../link/offload";
import { Packet, payloadOf } from "../link/packet";
import { AllocatePacket, FreePacket } from "../link/pool";
import { storeBe16 } from "./bytes";
import { localCard, NO_CARD } from "./local";

/** A frame for `bytes` bytes of payload, its contents undefined; null: no memory. */
export function allocateFrame(bytes: u32): Packet | null {
  const packet = AllocatePacket(EthernetHdr.sizeof + bytes);
  if (!packet) return null;
  packet.length = EthernetHdr.sizeof + bytes;
  clearOffload(packet);
  return packet;
}

/** Where the payload of a frame begins. */
export function framePayload(packet: Packet): usize {
  return payloadOf(packet) + EthernetHdr.sizeof;
}

/**
 * Sends a frame, and owns it from here on. Without a link, or with too many frames that wait, it is
 * lost.
 */
export function sendFrame(packet: Packet, destination: u64, type: u32): void {
  const card = localCard();
  if (card == NO_CARD || !card.hasLink) return FreePacket(packet);
  const header = payloadOf(packet);
  storeMac(header + EthernetHdr.h_dest, destination);
  storeMac(header + EthernetHdr.h_source, card.mac);
  storeBe16(header, type, EthernetHdr.h_proto);
  packet.iface = changetype<usize>(card.iface);
  if (SysNetworkSend(packet) < 0) FreePacket(packet);
}

export function destinationOf(frame: usize): u64 {
  return loadMac(frame + EthernetHdr.h_dest);
}
