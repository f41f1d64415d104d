// Frames that arrive, and what becomes of them. Runs in interrupts, so nothing here yields.
import { ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../../abi/ethernet";
import { IpHdr, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "../../../abi/ip";
import { Errno } from "../../../abi/errno";
import { EthernetCard, MAC_BROADCAST } from "../link/card";
import { NetworkInterface, releasePacket, setOwner } from "../link/interface";
import { Packet, payloadOf } from "../link/packet";
import { FreePacket } from "../link/pool";
import { loseConnections } from "../socket/end";
import { announce, arpEnd, arpInit, receiveArp, takeUnreachable } from "./arp";
import { loadBe16 } from "./bytes";
import { dhcpEnd, dhcpInit, dhcpLink } from "./dhcp/client";
import { destinationOf, framePayload } from "./frame";
import { receiveIcmp } from "./icmp";
import { ipDestination, isForUs } from "./ip";
import {
  isByDhcp,
  localCard,
  localInit,
  loseAddress,
  NO_CARD,
  onAddressFound,
  onAddressLost,
  setLocalCard,
} from "./local";
import { loopbackEnd, loopbackInit, takeLoopback } from "./loopback";
import { dropNeighbours } from "./neighbours";
import { echoUnreachable } from "./pings";
import { inetStats } from "./stats";
import { finishBatch, finishTurn, receiveTcp } from "./tcp/input";
import { tcpUnreachable } from "./tcp/errors";
import { payOwed, resume, tcpEnd, tcpInit } from "./tcp/transport";
import { receiveUdp, udpInit } from "./udp/udp";
import { reserveTimer, unreserveTimer } from "../../timer";
import { onTurnEnd } from "../../turn";

/** Of ARP, of the loopback, of DHCP, and two of TCP. */
const TIMERS: u32 = 5;

let hadLink: bool = false;

/** Takes the machine's one card (CardOwner). Returns 0, -EBUSY (there is one) or -ENOMEM. */
export function openCard(card: EthernetCard): i32 {
  if (localCard() != NO_CARD) return -Errno.EBUSY;
  if (!reserveTimers()) return -Errno.ENOMEM;
  localInit();
  arpInit((retry as (arg: usize) => void).index);
  loopbackInit((loopBack as (arg: usize) => void).index);
  udpInit();
  tcpInit();
  onTurnEnd((finishTurn as () => void).index);
  onAddressLost((addressLost as (_: usize) => void).index);
  onAddressFound((addressFound as (_: usize) => void).index);
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
  loseConnections(localCard().iface, Errno.ENETDOWN);
  tcpEnd();
  loseAddress();
  setLocalCard(NO_CARD);
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
    if (!receive(packet)) releasePacket(packet);
  }
  finishBatch();
  payOwed(iface);
}

function linkChanged(hasLink: bool): void {
  hadLink = hasLink;
  if (hasLink) {
    announce();
    resume(localCard().iface);
  }
  dhcpLink(hasLink);
}

/** The lease has ended: so have connections. */
function addressLost(_: usize): void {
  loseConnections(localCard().iface, Errno.ENETDOWN);
}

/** DHCP has found an address: connections that wait for one begin. */
function addressFound(_: usize): void {
  resume(localCard().iface);
}

/** TC1. Returns true when the packet is kept. */
function receive(packet: Packet): bool {
  const stats = inetStats();
  const frame = payloadOf(packet);
  const bytes = packet.length;
  stats.frames++;
  const destination = destinationOf(frame);
  if (destination != localCard().mac && destination != MAC_BROADCAST) {
    stats.notForUs++;
    return false;
  }
  const type = loadBe16(frame, EthernetHdr.h_proto);
  const header = frame + EthernetHdr.sizeof;
  if (type == ETH_P_IP) {
    return isForUs(header, bytes - EthernetHdr.sizeof) && dispatch(packet, header);
  }
  if (type == ETH_P_ARP) receiveArp(frame, bytes);
  else stats.otherType++;
  return false;
}

/**
 * A packet is valid, and for us; the header of its frame is before that of IP. Returns true when it
 * is kept.
 */
function dispatch(packet: Packet, header: usize): bool {
  const protocol: u32 = load<u8>(header, IpHdr.protocol);
  if (protocol == IPPROTO_TCP) return receiveTcp(packet, header);
  if (protocol == IPPROTO_ICMP) receiveIcmp(header);
  else if (protocol == IPPROTO_UDP) receiveUdp(packet, header);
  else inetStats().otherProtocol++;
  return false;
}

/** The timer of the loopback. What we send needs no checks: it is ours. */
function loopBack(_: usize): void {
  let taken: u32 = 0;
  for (let packet = takeLoopback(taken); packet; packet = takeLoopback(taken)) {
    taken++;
    if (!dispatch(packet, framePayload(packet))) FreePacket(packet);
  }
  finishBatch();
}

/** The timer of ARP. */
function retry(_: usize): void {
  for (let packet = takeUnreachable(); packet; packet = takeUnreachable()) {
    echoUnreachable(ipDestination(packet));
    tcpUnreachable(packet);
    FreePacket(packet);
  }
}
