// This machine's place on the network: its card, its address, its subnet, its gateway.
import { INADDR_ANY, INADDR_BROADCAST, INADDR_LOOPBACK } from "../../../abi/ip";
import { kernelParameter, parameterBytes } from "../../commandline";
import { print } from "../../console";
import { Cursor } from "../../cursor";
import { EthernetCard } from "../link/card";
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

const cursor = changetype<Cursor>(memory.data(offsetof<Cursor>()));

/** The card, or NO_CARD. */
export function localCard(): EthernetCard {
  return card;
}

export function setLocalCard(value: EthernetCard): void {
  card = value;
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

/** Reads net.address and net.gateway. Invalid values are reported and ignored. */
export function localInit(): void {
  const address = kernelParameter("net.address");
  if (address != 0 && !readAddress(address)) {
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

/** The first address of a subnet names it, the last one is its broadcast. */
function isEdge(address: u32, net: u32): bool {
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
