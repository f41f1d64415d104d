// Ethernet cards: what a driver says of its card, beside the interface that carries the frames. A
// frame is the payload of a packet.
import { EthernetHdr, MAC_BYTES } from "../../../abi/ethernet";
import { NetworkInterface } from "./interface";

/** Embedded in a driver. */
@unmanaged
export class EthernetCard {
  iface: NetworkInterface;
  mac: u64; // as loadMac()
  mtu: u32; // bytes of an IP packet
  sendsChecksums: bool; // completes checksums of sent frames: askChecksum() is allowed
  segmentsBytesMax: u32; // of an IP packet that it cuts (askSegmentation()); 0: it cuts none
  hasLink: bool; // a change is followed by arrivalsComplete()
  // Counters of the driver.
  dropped: u32; // frames that break a rule of the wire, or find no memory
  starved: u32; // those that find no memory
  joined: u32; // frames in several buffers, copied together
  joinedBytes: u64;
}

/** Gives a card that is about to go live to its network. Returns 0 or a negative error. */
export type CardOwner = (card: EthernetCard) => i32;

export const MAC_BROADCAST: u64 = 0xffff_ffff_ffff;
const MAC_GROUP: u64 = 1;
const MAC_LOCAL: u64 = 2;

if (MAC_BYTES != 6) ERROR("card: a MAC is not 48 bits");

/** Six octets as a number, the first octet lowest. */
export function loadMac(address: usize): u64 {
  return load<u32>(address) | (<u64>load<u16>(address, 4) << 32);
}

export function storeMac(address: usize, mac: u64): void {
  store<u32>(address, <u32>mac);
  store<u16>(address, <u16>(mac >> 32), 4);
}

/** Is it an address of many: broadcast or multicast? */
export function isGroupMac(mac: u64): bool {
  return (mac & MAC_GROUP) != 0;
}

/** Can it be the address of a card? */
export function isCardMac(mac: u64): bool {
  return mac != 0 && !isGroupMac(mac);
}

/** A locally administered address of 48 random bits (NW4). */
export function localMac(random: u64): u64 {
  return (random & MAC_BROADCAST & ~MAC_GROUP) | MAC_LOCAL;
}

/** Bytes of the longest frame of a card. */
export function frameBytesMax(card: EthernetCard): u32 {
  return card.mtu + EthernetHdr.sizeof;
}
