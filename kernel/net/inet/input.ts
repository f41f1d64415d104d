// Frames that arrive, and what becomes of them. Runs in interrupts, so nothing here yields.
import { ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet";
import { IpHdr, IPPROTO_ICMP } from "../../../abi/ip";
import { Errno } from "../../../abi/errno";
import { EthernetCard, MAC_BROADCAST } from "../link/card";
import { NetworkInterface, releasePacket, setOwner } from "../link/interface";
import { Packet, payloadOf } from "../link/packet";
import { FreePacket } from "../link/pool";
import { announce, arpEnd, arpInit, receiveArp, takeUnreachable } from "./arp";
import { loadBe16 } from "./bytes";
import { destinationOf } from "./frame";
import { receiveIcmp } from "./icmp";
import { ipDestination, isForUs } from "./ip";
import { localCard, localInit, NO_CARD, setLocalCard } from "./local";
import { dropNeighbours } from "./neighbours";
import { echoUnreachable } from "./pings";
import { inetStats } from "./stats";
import { reserveTimer, unreserveTimer } from "../../timer";

let hadLink: bool = false;

/** Takes the machine's one card (CardOwner). Returns 0, -EBUSY (there is one) or -ENOMEM. */
export function openCard(card: EthernetCard): i32 {
  if (localCard() != NO_CARD) return -Errno.EBUSY;
  if (reserveTimer() < 0) return -Errno.ENOMEM;
  localInit();
  arpInit((retry as (arg: usize) => void).index);
  setOwner(
    card.iface,
    (drain as (iface: NetworkInterface) => void).index,
    (closeCard as (iface: NetworkInterface) => void).index,
  );
  setLocalCard(card);
  return 0;
}

/** The card is gone for good. */
function closeCard(_: NetworkInterface): void {
  setLocalCard(NO_CARD);
  hadLink = false;
  dropNeighbours();
  arpEnd();
  unreserveTimer();
}

/** Frames have arrived, or the link has changed. */
function drain(iface: NetworkInterface): void {
  const hasLink = localCard().hasLink;
  if (hasLink && !hadLink) announce();
  hadLink = hasLink;
  for (let packet = iface.incoming.pop(); packet; packet = iface.incoming.pop()) {
    receive(packet);
    releasePacket(packet);
  }
}

/** TC1. */
function receive(packet: Packet): void {
  const stats = inetStats();
  const frame = payloadOf(packet);
  const bytes = packet.length;
  stats.frames++;
  const destination = destinationOf(frame);
  if (destination != localCard().mac && destination != MAC_BROADCAST) {
    stats.notForUs++;
    return;
  }
  const type = loadBe16(frame, EthernetHdr.h_proto);
  if (type == ETH_P_IP) receiveIp(frame + EthernetHdr.sizeof, bytes - EthernetHdr.sizeof);
  else if (type == ETH_P_ARP) receiveArp(frame, bytes);
  else stats.otherType++;
}

function receiveIp(header: usize, room: u32): void {
  if (!isForUs(header, room)) return;
  if (load<u8>(header, IpHdr.protocol) == IPPROTO_ICMP) receiveIcmp(header);
  else inetStats().otherProtocol++;
}

/** The timer of ARP. */
function retry(_: usize): void {
  for (let packet = takeUnreachable(); packet; packet = takeUnreachable()) {
    echoUnreachable(ipDestination(packet));
    FreePacket(packet);
  }
}
