// Network interfaces: what a driver registers, and Toro's packet calls on top of it. One owner
// takes the received packets of all of them: an application by SysNetworkRead, or the socket layer
// from its first socket.
import { Errno } from "../../../abi/errno";
import { nowNs } from "../../clock";
import { heapBytes } from "../../memory";
import { wait, wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { FreePacket, Packet, PacketQueue } from "./packet";
import { countSent } from "../socket/send-buffer";
import { Socket } from "../socket/socket";

/** Packets that may wait for room in a device's ring; further senders wait or get -ENOBUFS. */
const OUTGOING_MAX: u32 = 64;
/** While so many packets wait for their owner, a driver posts no new receive buffers. */
const INCOMING_MAX: u32 = 128;
const INTERFACES_MAX: u32 = 4;
/** A sent packet of more capacity counts: its driver frees it as soon as the device is done. */
export const LINGER_BYTES_MAX: u32 = 4096;

@unmanaged
export class NetworkInterface {
  cid: u32;
  up: bool;
  types: u32; // bit for each type of socket that its packets may belong to
  segmentsMax: u32; // buffers that one packet may consist of, the header's included
  outgoing: PacketQueue; // sent, but the ring was full
  unfreed: u64; // capacity of all sent packets that count
  incoming: PacketQueue; // received, not yet taken by the owner
  space: WaitQueue; // threads that wait for room in `outgoing`
  firstOwing: Socket | null; // sockets that owe their peer a packet (owed.ts)
  lastOwing: Socket | null;
  transmit: u32; // (driver, packet): bool; false: the ring is full
  recycle: u32; // (driver, packet): void; a receive buffer comes back
  driver: usize;
}

export const NO_INTERFACE: NetworkInterface = changetype<NetworkInterface>(0);
const interfaces: usize = memory.data(4 * 4);
let interfaceCount: u32 = 0;
let owner: u32 = 0; // (iface): void, drains `incoming`; 0: SysNetworkRead does
let resetOwner: u32 = 0; // (iface): void, every connection of the interface is gone

/** The interface of a device, in the order of the devices; NO_INTERFACE: there is none. */
export function interfaceAt(index: u32): NetworkInterface {
  if (index >= interfaceCount) return NO_INTERFACE;
  return changetype<NetworkInterface>(<usize>load<u32>(interfaces + (index << 2)));
}

/** The interface that packets leave by unless they say otherwise. */
export function firstInterface(): NetworkInterface {
  return interfaceAt(0);
}

/** Registers an interface; its queues are zeroed. Returns 0, or -EBUSY: there are too many. */
export function registerInterface(iface: NetworkInterface): i32 {
  if (interfaceCount == INTERFACES_MAX) return -Errno.EBUSY;
  store<u32>(interfaces + (interfaceCount++ << 2), <u32>changetype<usize>(iface));
  return 0;
}

/**
 * Makes somebody the owner of all packets, once: `drain` is called when some have arrived, `reset`
 * when an interface has lost its connections. Returns false if there is an owner.
 */
export function claimInterfaces(drain: u32, reset: u32): bool {
  if (owner != 0) return false;
  owner = drain;
  resetOwner = reset;
  for (let i: u32 = 0; i < interfaceCount; i++) arrivalsComplete(interfaceAt(i));
  return true;
}

/** May packets of sockets of this type be handed over? */
export function carries(iface: NetworkInterface, type: u32): bool {
  return iface != NO_INTERFACE && ((iface.types >> type) & 1) != 0;
}

/** Does any interface carry them? */
export function isCarried(type: u32): bool {
  for (let i: u32 = 0; i < interfaceCount; i++) {
    if (carries(interfaceAt(i), type)) return true;
  }
  return false;
}

/** May a packet be handed over without an error? */
export function hasSendRoom(iface: NetworkInterface): bool {
  return iface != NO_INTERFACE && iface.outgoing.count < OUTGOING_MAX;
}

/**
 * May a packet with payload be built and handed over? What was sent and is not free yet stays
 * within an eighth of the heap, however much credit peers give.
 */
export function hasPayloadRoom(iface: NetworkInterface): bool {
  return hasSendRoom(iface) && iface.unfreed <= heapBytes() >> 3;
}

/**
 * Waits until hasPayloadRoom(), at most until `deadlineNs` (0: not at all). Yields. Returns 0,
 * -EAGAIN or -ENETDOWN; -EINTR as interruptibly().
 */
export function waitForSendRoom(iface: NetworkInterface, deadlineNs: u64): i32 {
  if (iface == NO_INTERFACE) return -Errno.ENETDOWN;
  while (iface.up && !hasPayloadRoom(iface)) {
    if (deadlineNs <= nowNs()) return -Errno.EAGAIN;
    if (wait(iface.space, deadlineNs) == -Errno.EINTR) return -Errno.EINTR;
  }
  return iface.up ? 0 : -Errno.ENETDOWN;
}

/** Who waits for room; the interface exists. */
export function sendersOf(iface: NetworkInterface): WaitQueue {
  return iface.space;
}

function transmit(packet: Packet): bool {
  const iface = packet.iface;
  return call_indirect<bool>(iface.transmit, iface.driver, packet);
}

/**
 * Hands `packet`, header and all, to the device of its interface. On success the sender has lost
 * it: the kernel frees it when the device has consumed it. Returns at once: 0, or -ENOBUFS (too
 * many packets wait) or -ENETDOWN, and the packet is still the sender's. Does not yield.
 */
export function SysNetworkSend(packet: Packet): i32 {
  const iface = packet.iface;
  if (iface == NO_INTERFACE || !iface.up) return -Errno.ENETDOWN;
  const outgoing = iface.outgoing;
  if (outgoing.count >= OUTGOING_MAX) return -Errno.ENOBUFS;
  iface.unfreed += weightOf(packet);
  if (outgoing.count != 0 || !transmit(packet)) outgoing.push(packet);
  return 0;
}

function weightOf(packet: Packet): u32 {
  return packet.capacity > LINGER_BYTES_MAX ? packet.capacity : 0;
}

/** Driver: the device has consumed a sent packet, or never will. */
export function freeSent(packet: Packet): void {
  packet.iface.unfreed -= weightOf(packet);
  if (packet.sender != 0) countSent(packet);
  FreePacket(packet);
}

/**
 * The oldest received packet of the first interface that has one, or null. It belongs to the
 * caller, who gives it back with releasePacket. Sees nothing once the application uses sockets.
 * Does not yield.
 */
export function SysNetworkRead(): Packet | null {
  for (let i: u32 = 0; i < interfaceCount; i++) {
    const packet = interfaceAt(i).incoming.pop();
    if (packet) return packet;
  }
  return null;
}

/** Gives a received packet back to its interface, or frees one that was not received. */
export function releasePacket(packet: Packet): void {
  const iface = packet.iface;
  if (packet.received) call_indirect<void>(iface.recycle, iface.driver, packet);
  else FreePacket(packet);
}

/** Driver: may more packets arrive? */
export function hasReceiveRoom(iface: NetworkInterface): bool {
  return iface.incoming.count < INCOMING_MAX;
}

/** Driver: all that has arrived is queued; the owner may look. */
export function arrivalsComplete(iface: NetworkInterface): void {
  if (owner != 0) call_indirect<void>(owner, iface);
}

/** Driver: the ring has room again. */
export function ringHasRoom(iface: NetworkInterface): void {
  const outgoing = iface.outgoing;
  while (true) {
    const packet = outgoing.first;
    if (!packet || !transmit(packet)) break;
    outgoing.pop();
  }
  // What stopped for want of room goes on: the owner's replies first, then threads. All of them
  // look again: one that was woken for a place may have nothing to send any more.
  if (!hasSendRoom(iface)) return;
  arrivalsComplete(iface);
  if (hasSendRoom(iface)) wakeAll(iface.space);
}

/**
 * Driver: the device is gone for good, or all its connections are, and with them the packets that
 * wait in either direction.
 */
export function connectionsLost(iface: NetworkInterface, up: bool): void {
  iface.up = up;
  for (let p = iface.outgoing.pop(); p; p = iface.outgoing.pop()) freeSent(p);
  for (let p = iface.incoming.pop(); p; p = iface.incoming.pop()) releasePacket(p);
  if (resetOwner != 0) call_indirect<void>(resetOwner, iface);
  wakeAll(iface.space);
}
