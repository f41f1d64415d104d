// This machine's place on the network: its card, its address, its subnet, its gateway. The address
// is a kernel parameter, or comes and goes by DHCP.
import { INADDR_ANY, INADDR_BROADCAST, INADDR_LOOPBACK } from "../../../abi/ip";
import { kernelParameter, parameterBytes, parameterIs } from "../../commandline";
import { print } from "../../console";
import { Cursor } from "../../cursor";
import { beginAtomic, endAtomic, wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { EthernetCard } from "../link/card";
import { ADDRESS_WAITERS, CARD_INTERFACE } from "../link/places";
import { isHostAddress, skipAddress, skippedAddress } from "./address";

const SLASH: u32 = 0x2f;
/** Of a subnet: one that is longer has no broadcast address. */
const PREFIX_MIN: u32 = 8;
const PREFIX_MAX: u32 = 30;

export const NO_CARD: EthernetCard = changetype<EthernetCard>(0);
let card: EthernetCard = NO_CARD;
let own: u32 = INADDR_ANY;
let mask: u32 = INADDR_BROADCAST;
let router: u32 = INADDR_ANY;
let mtuLimit: u32 = 0; // of the network, by DHCP; 0: none
let expected: bool = false; // DHCP is at work: an address may come

/** Name servers that are remembered; further ones are ignored. */
export const NAME_SERVERS_MAX: u32 = 3;
const nameServers: usize = memory.data(3 * 4);

const waiters = changetype<WaitQueue>(ADDRESS_WAITERS);
let lostHandler: u32 = 0;
let foundHandler: u32 = 0;

const cursor = changetype<Cursor>(memory.data(offsetof<Cursor>()));

/** The card, or NO_CARD. */
export function localCard(): EthernetCard {
  return card;
}

export function setLocalCard(value: EthernetCard): void {
  card = value;
  store<u32>(CARD_INTERFACE, value == NO_CARD ? 0 : <u32>changetype<usize>(value.iface));
  tellInterface();
}

/** Sockets read their own address from their interface. */
function tellInterface(): void {
  if (card != NO_CARD) card.iface.address = own;
}

/** Bytes of the longest IP packet that we send; 0 without a card. */
export function localMtu(): u32 {
  if (card == NO_CARD) return 0;
  return mtuLimit == 0 ? card.mtu : min(mtuLimit, card.mtu);
}

/** INADDR_ANY: there is none. */
export function ownAddress(): u32 {
  return own;
}

/** INADDR_ANY: there is none. */
export function gateway(): u32 {
  return router;
}

/** Is it the machine itself: its address, or that of the loopback? */
export function isOwn(address: u32): bool {
  return address == INADDR_LOOPBACK || (address == own && own != INADDR_ANY);
}

/** The address that packets to `destination` come from; INADDR_ANY: there is none yet. */
export function sourceFor(destination: u32): u32 {
  return destination == INADDR_LOOPBACK ? INADDR_LOOPBACK : own;
}

/** Is it on our subnet? */
export function isNear(address: u32): bool {
  return ((address ^ own) & mask) == 0;
}

/** Is it the broadcast address of our subnet, or of every one? */
export function isBroadcast(address: u32): bool {
  return address == INADDR_BROADCAST || (isNear(address) && (address & ~mask) == ~mask);
}

/** The `i`th name server that DHCP has named, the best one first; INADDR_ANY: there is none. */
export function nameServer(i: u32): u32 {
  return i < NAME_SERVERS_MAX ? load<u32>(nameServers + (i << 2)) : INADDR_ANY;
}

export function setNameServer(i: u32, address: u32): void {
  assert(i < NAME_SERVERS_MAX, "local: too many name servers");
  store<u32>(nameServers + (i << 2), address);
}

/** Is the machine without an address that DHCP may still find? */
export function isExpected(): bool {
  return expected && own == INADDR_ANY;
}

export function setExpected(value: bool): void {
  expected = value;
  if (!value) wakeAll(waiters);
}

/** Threads that wait for an address, or for the news that none will come. */
export function addressWaiters(): WaitQueue {
  return waiters;
}

/** The machine has an address from here on; a `gate` or an `mtu` of 0 is none. */
export function setAddress(address: u32, net: u32, gate: u32, mtu: u32): void {
  const isNew = own == INADDR_ANY && address != INADDR_ANY;
  own = address;
  mask = net;
  router = gate;
  mtuLimit = mtu;
  tellInterface();
  wakeAll(waiters);
  if (isNew && foundHandler != 0) tell(foundHandler);
}

/**
 * `handler`, the table index of (_: usize): void, runs when the machine that had no address has
 * one. It must not yield.
 */
export function onAddressFound(handler: u32): void {
  foundHandler = handler;
}

/**
 * `handler`, the table index of (_: usize): void, runs when the address has been taken away, while
 * `ownAddress()` is INADDR_ANY already. It must not yield.
 */
export function onAddressLost(handler: u32): void {
  lostHandler = handler;
}

/** The address is ours no more, if it was. Connections that have it cannot go on. */
export function loseAddress(): void {
  if (own == INADDR_ANY) return;
  setAddress(INADDR_ANY, INADDR_BROADCAST, INADDR_ANY, 0);
  for (let i: u32 = 0; i < NAME_SERVERS_MAX; i++) setNameServer(i, INADDR_ANY);
  if (lostHandler != 0) tell(lostHandler);
}

function tell(handler: u32): void {
  beginAtomic();
  call_indirect<void>(handler, <usize>0);
  endAtomic();
}

/** Does the kernel parameter leave the address to DHCP? It does if it is missing. */
export function isByDhcp(): bool {
  return kernelParameter("net.address") == 0 || parameterIs("net.address", "dhcp");
}

/** Reads net.address and net.gateway. Invalid values are reported and ignored. */
export function localInit(): void {
  const address = kernelParameter("net.address");
  if (!isByDhcp() && !readAddress(address)) {
    print("net: the value of net.address is ignored, it is not as in 10.0.2.15/24\n");
  }
  const gate = kernelParameter("net.gateway");
  if (gate != 0 && !readGateway(gate)) {
    print("net: the value of net.gateway is ignored, it is no other host of our subnet\n");
  }
}

function readAddress(value: usize): bool {
  cursor.begin(value, parameterBytes(value));
  if (!skipAddress(cursor) || !cursor.skip(SLASH)) return false;
  const address = skippedAddress();
  const prefix = cursor.number(10);
  if (!cursor.isAtEnd || prefix < PREFIX_MIN || prefix > PREFIX_MAX) return false;
  const net = INADDR_BROADCAST << (32 - prefix);
  if (!isHostAddress(address) || isEdge(address, net)) return false;
  own = address;
  mask = net;
  return true;
}

/** Is the prefix of that netmask one that we can have? */
export function isNetmask(net: u32): bool {
  const prefix = clz<u32>(~net);
  if (prefix < PREFIX_MIN || prefix > PREFIX_MAX) return false;
  return net == INADDR_BROADCAST << (32 - prefix);
}

/** The first address of a subnet names it, the last one is its broadcast. */
export function isEdge(address: u32, net: u32): bool {
  return (address & ~net) == 0 || (address & ~net) == ~net;
}

function readGateway(value: usize): bool {
  cursor.begin(value, parameterBytes(value));
  if (!skipAddress(cursor) || !cursor.isAtEnd) return false;
  const address = skippedAddress();
  if (own == INADDR_ANY || address == own) return false;
  if (!isNear(address) || isEdge(address, mask)) return false;
  router = address;
  return true;
}
