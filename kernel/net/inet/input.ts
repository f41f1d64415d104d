// Frames that arrive, and what becomes of them. Runs in interrupts, so nothing here yields.
import { ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet";
import { IpHdr, IPPROTO_ICMP, IPPROTO_UDP } from "../../../abi/ip";
import { Errno } from "../../../abi/errno";
import { EthernetCard, MAC_BROADCAST } from "../link/card";
import { NetworkInterface, releasePacket, setOwner } from "../link/interface";
import { Packet, payloadOf } from "../link/packet";
import { FreePacket } from "../link/pool";
import { announce, arpEnd, arpInit, receiveArp, takeUnreachable } from "./arp";
import { loadBe16 } from "./bytes";
import { dhcpEnd, dhcpInit, dhcpLink } from "./dhcp/client";
import { destinationOf, framePayload } from "./frame";
import { receiveIcmp } from "./icmp";
import { ipDestination, isForUs } from "./ip";
import { isByDhcp, localCard, localInit, loseAddress, NO_CARD, setLocalCard } from "./local";
import { loopbackEnd, loopbackInit, takeLoopback } from "./loopback";
import { dropNeighbours } from "./neighbours";
import { echoUnreachable } from "./pings";
import { inetStats } from "./stats";
import { receiveUdp, udpInit } from "./udp/udp";
import { reserveTimer, unreserveTimer } from "../../timer";

/** Of ARP, of the loopback and of DHCP. */
const TIMERS: u32 = 3;

let hadLink: bool = false;

/** Takes the machine's one card (CardOwner). Returns 0, -EBUSY (there is one) or -ENOMEM. */
export function openCard(card: EthernetCard): i32 {
  if (localCard() != NO_CARD) return -Errno.EBUSY;
  if (!reserveTimers()) return -Errno.ENOMEM;
  localInit();
  arpInit((retry as (arg: usize) => void).index);
  loopbackInit((loopBack as (arg: usize) => void).index);
  udpInit();
  if (isByDhcp()) dhcpInit();
  setOwner(
    card.iface,
    (drain as (iface: NetworkInterface) => void).index,
    (closeCard as (iface: NetworkInterface) => void).index,
  );
  setLocalCard(card);
  return 0;
}

function reserveTimers(): bool {
  for (let i: u32 = 0; i < TIMERS; i++) {
    if (reserveTimer() == 0) continue;
    unreserveTimers(i);
    return false;
  }
  return true;
}

function unreserveTimers(count: u32): void {
  for (let i: u32 = 0; i < count; i++) unreserveTimer();
}

/** The card is gone for good. */
function closeCard(_: NetworkInterface): void {
  dhcpEnd();
  setLocalCard(NO_CARD);
  loseAddress();
  hadLink = false;
  dropNeighbours();
  arpEnd();
  loopbackEnd();
  unreserveTimers(TIMERS);
}

/** Frames have arrived, or the link has changed. */
function drain(iface: NetworkInterface): void {
  const hasLink = localCard().hasLink;
  if (hasLink != hadLink) linkChanged(hasLink);
  for (let packet = iface.incoming.pop(); packet; packet = iface.incoming.pop()) {
    receive(packet);
    releasePacket(packet);
  }
}

function linkChanged(hasLink: bool): void {
  hadLink = hasLink;
  if (hasLink) announce();
  dhcpLink(hasLink);
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
  if (isForUs(header, room)) dispatch(header);
}

/** A packet is valid, and for us; the header of its frame is before it. */
function dispatch(header: usize): void {
  const protocol: u32 = load<u8>(header, IpHdr.protocol);
  if (protocol == IPPROTO_ICMP) receiveIcmp(header);
  else if (protocol == IPPROTO_UDP) receiveUdp(header);
  else inetStats().otherProtocol++;
}

/** The timer of the loopback. What we send needs no checks: it is ours. */
function loopBack(_: usize): void {
  let taken: u32 = 0;
  for (let packet = takeLoopback(taken); packet; packet = takeLoopback(taken)) {
    taken++;
    dispatch(framePayload(packet));
    FreePacket(packet);
  }
}

/** The timer of ARP. */
function retry(_: usize): void {
  for (let packet = takeUnreachable(); packet; packet = takeUnreachable()) {
    echoUnreachable(ipDestination(packet));
    FreePacket(packet);
  }
}
