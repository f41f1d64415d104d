// ARP (RFC 826): finds the MAC of a neighbour, and answers who asks for ours. It believes answers
// that it asked for and requests that are addressed to it, and nothing else (TC2).
import {
  ArpHdr,
  ARPHRD_ETHER,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  ETH_P_ARP,
  ETH_P_IP,
  EthernetHdr,
  EtherArp,
  MAC_BYTES,
} from "../../../abi/ethernet";
import { INADDR_ANY } from "../../../abi/ip";
import { NEVER, nowNs, NS_PER_S } from "../../clock";
import { print } from "../../console";
import { startTimer, stopTimer, Timer } from "../../timer";
import { isCardMac, loadMac, MAC_BROADCAST, storeMac } from "../link/card";
import { Packet } from "../link/packet";
import { FreePacket } from "../link/pool";
import { isHostAddress, printAddress } from "./address";
import { loadBe16, loadBe32, storeBe16, storeBe32 } from "./bytes";
import { allocateFrame, framePayload, sendFrame } from "./frame";
import { gateway, isBroadcast, isNear, localCard, ownAddress } from "./local";
import {
  addNeighbour,
  dropNeighbour,
  findNeighbour,
  isKnown,
  isStale,
  Neighbour,
  neighbourAt,
  NEIGHBOURS_MAX,
  NO_NEIGHBOUR,
} from "./neighbours";
import { inetStats } from "./stats";

/** TC3: how often one address is asked for, and how many times in vain. */
const RETRY_NS: u64 = NS_PER_S;
const TRIES_MAX: u32 = 3;
const ADDRESS_BYTES: u32 = 4;

const timer = changetype<Timer>(memory.data(offsetof<Timer>()));
let conflicting: u32 = INADDR_ANY; // our address, once its conflict has been reported
let probed: u32 = INADDR_ANY; // the address that is to be ours, while nobody must have it
let claimed: bool = false; // somebody has

/** `handler` is the table index of (arg: usize): void: takeUnreachable() has work. */
export function arpInit(handler: u32): void {
  timer.handler = handler;
}

/** The card is gone, and no packet waits. */
export function arpEnd(): void {
  stopTimer(timer);
}

/** Sends an IP packet to a neighbour, and owns it. It waits while the neighbour is not known. */
export function sendToNeighbour(address: u32, packet: Packet): void {
  const now = nowNs();
  let one = findNeighbour(address);
  if (one == NO_NEIGHBOUR) one = addNeighbour(address, gateway(), now);
  one.usedNs = now;
  if (isKnown(one, now)) {
    if (isStale(one, now)) ask(one, now, one.mac);
    sendFrame(packet, one.mac, ETH_P_IP);
    return;
  }
  if (one.hasAnswered) {
    one.hasAnswered = false;
    one.tries = 0;
  }
  const older = one.waiting;
  one.waiting = packet;
  if (older) FreePacket(older);
  ask(one, now, MAC_BROADCAST);
  startRetries();
}

/** TC3: at most one request in a second, and three in all: then the timer gives up. */
function ask(one: Neighbour, now: u64, mac: u64): void {
  if (now < one.nextTryNs || one.tries == TRIES_MAX) return;
  one.nextTryNs = now + RETRY_NS;
  one.tries++;
  inetStats().arpRequests++;
  sendArp(ARPOP_REQUEST, mac, 0, one.address);
}

/** The timer is due when the first of those that packets wait for is to be asked again. */
function startRetries(): void {
  let first = NEVER;
  for (let i: u32 = 0; i < NEIGHBOURS_MAX; i++) {
    const one = neighbourAt(i);
    if (one.waiting) first = min(first, one.nextTryNs);
  }
  startTimer(timer, first);
}

/**
 * The timer is due: asks again. Returns a packet whose receiver has not answered, for the caller to
 * free, or null, and then the timer runs if there is more to wait for. Call it until then.
 */
export function takeUnreachable(): Packet | null {
  const now = nowNs();
  for (let i: u32 = 0; i < NEIGHBOURS_MAX; i++) {
    const one = neighbourAt(i);
    const packet = one.waiting;
    if (!packet || now < one.nextTryNs) continue;
    if (one.tries < TRIES_MAX) {
      ask(one, now, MAC_BROADCAST);
      continue;
    }
    one.waiting = null;
    dropNeighbour(one);
    return packet;
  }
  startRetries();
  return null;
}

/** Says on the network whose address is ours: RFC 5227, 2.3. */
export function announce(): void {
  if (ownAddress() != INADDR_ANY) sendArp(ARPOP_REQUEST, MAC_BROADCAST, 0, ownAddress());
}

/**
 * Asks who has an address that is to be ours; we have none yet, so that nobody learns it (RFC 5227,
 * 2.1.1). Whoever claims it is noted until endProbe().
 */
export function probe(address: u32): void {
  probed = address;
  claimed = false;
  sendArp(ARPOP_REQUEST, MAC_BROADCAST, 0, address);
}

/** Returns whether anybody has claimed the address since probe(). */
export function endProbe(): bool {
  probed = INADDR_ANY;
  return claimed;
}

/** Does a packet claim the probed address, as its sender's or by a probe of another machine? */
function isClaim(sender: u32, target: u32, mac: u64): bool {
  if (probed == INADDR_ANY || mac == localCard().mac) return false;
  return sender == probed || (sender == INADDR_ANY && target == probed);
}

function sendArp(op: u32, to: u64, target: u64, address: u32): void {
  const packet = allocateFrame(EtherArp.sizeof);
  if (!packet) return;
  const arp = framePayload(packet);
  storeBe16(arp, ARPHRD_ETHER, ArpHdr.ar_hrd);
  storeBe16(arp, ETH_P_IP, ArpHdr.ar_pro);
  store<u8>(arp, MAC_BYTES, ArpHdr.ar_hln);
  store<u8>(arp, <u8>ADDRESS_BYTES, ArpHdr.ar_pln);
  storeBe16(arp, op, ArpHdr.ar_op);
  storeMac(arp + EtherArp.arp_sha, localCard().mac);
  storeBe32(arp, ownAddress(), EtherArp.arp_spa);
  storeMac(arp + EtherArp.arp_tha, target);
  storeBe32(arp, address, EtherArp.arp_tpa);
  sendFrame(packet, to, ETH_P_ARP);
}

/** A frame with an ARP packet has arrived. */
export function receiveArp(frame: usize, bytes: u32): void {
  const arp = frame + EthernetHdr.sizeof;
  if (!isWellFormed(arp, bytes)) {
    inetStats().badArp++;
    return;
  }
  const mac = loadMac(arp + EtherArp.arp_sha);
  const sender = loadBe32(arp, EtherArp.arp_spa);
  if (isClaim(sender, loadBe32(arp, EtherArp.arp_tpa), mac)) claimed = true;
  if (ownAddress() == INADDR_ANY) return;
  if (sender == ownAddress()) {
    if (mac != localCard().mac) reportConflict();
    return;
  }
  const isRequest = loadBe16(arp, ArpHdr.ar_op) == ARPOP_REQUEST;
  if (isRequest && loadBe32(arp, EtherArp.arp_tpa) != ownAddress()) return;
  // The answer goes first, so that the peer knows us before it gets a packet that waited for it. A
  // probe, whose sender is 0, has one as well.
  if (isRequest) sendArp(ARPOP_REPLY, mac, mac, sender);
  if (isNeighbourly(sender)) learn(sender, mac, isRequest);
}

function isWellFormed(arp: usize, bytes: u32): bool {
  if (bytes < <u32>(EthernetHdr.sizeof + EtherArp.sizeof)) return false;
  if (loadBe16(arp, ArpHdr.ar_hrd) != ARPHRD_ETHER) return false;
  if (loadBe16(arp, ArpHdr.ar_pro) != ETH_P_IP) return false;
  if (load<u8>(arp, ArpHdr.ar_hln) != MAC_BYTES) return false;
  if (load<u8>(arp, ArpHdr.ar_pln) != ADDRESS_BYTES) return false;
  const op = loadBe16(arp, ArpHdr.ar_op);
  if (op != ARPOP_REQUEST && op != ARPOP_REPLY) return false;
  return isCardMac(loadMac(arp + EtherArp.arp_sha));
}

/** Can it be the address of a host on our subnet? */
function isNeighbourly(address: u32): bool {
  return isHostAddress(address) && isNear(address) && !isBroadcast(address);
}

function learn(address: u32, mac: u64, isRequest: bool): void {
  const now = nowNs();
  let one = findNeighbour(address);
  if (!isRequest && (one == NO_NEIGHBOUR || one.tries == 0)) return; // nobody asked
  if (one == NO_NEIGHBOUR) one = addNeighbour(address, gateway(), now);
  one.mac = mac;
  one.hasAnswered = true;
  one.knownNs = now;
  one.tries = 0;
  const packet = one.waiting;
  one.waiting = null;
  if (packet) sendFrame(packet, mac, ETH_P_IP);
}

function reportConflict(): void {
  inetStats().conflicts++;
  if (conflicting == ownAddress()) return;
  conflicting = ownAddress();
  print("net: another machine has our address, ");
  printAddress(ownAddress());
  print("\n");
}
