// Network interfaces: what a driver registers, and Toro's packet calls on top of it. One owner
// takes the received packets: an application by SysNetworkRead, or the socket layer from its first
// socket.
import { Errno } from "../../drivers/abi/errno";
import { nowNs } from "../clock";
import { wait, wakeAll } from "../scheduler";
import { WaitQueue } from "../thread";
import { FreePacket, Packet, PacketQueue } from "./packet";

/** Packets that may wait for room in the device's ring; further senders wait or get -ENOBUFS. */
const OUTGOING_MAX: u32 = 64;
/** While so many packets wait for their owner, the driver posts no new receive buffers. */
const INCOMING_MAX: u32 = 128;

@unmanaged
export class NetworkInterface {
  cid: u32;
  up: bool;
  outgoing: PacketQueue; // sent, but the ring was full
  incoming: PacketQueue; // received, not yet taken by the owner
  space: WaitQueue; // threads that wait for room in `outgoing`
  transmit: u32; // (driver, packet): bool; false: the ring is full
  recycle: u32; // (driver, packet): void; a receive buffer comes back
  driver: usize;
  owner: u32; // (): void, drains `incoming`; 0: SysNetworkRead does
  resetOwner: u32; // (): void, every connection of the interface is gone; 0: nobody to tell
}

const NONE: NetworkInterface = changetype<NetworkInterface>(0);
let network: NetworkInterface = NONE;

/** The interface, or null before a driver has registered one. */
export function theInterface(): NetworkInterface {
  return network;
}

/** Registers the network interface; its queues are zeroed. Returns 0 or -EBUSY: there is one. */
export function registerInterface(iface: NetworkInterface): i32 {
  if (network != NONE) return -Errno.EBUSY;
  network = iface;
  return 0;
}

/** May a packet be handed over without an error? */
export function hasSendRoom(): bool {
  return network != NONE && network.outgoing.count < OUTGOING_MAX;
}

/**
 * Waits until hasSendRoom(), at most until `deadlineNs` (0: not at all). Yields. Returns 0, -EAGAIN
 * or -ENETDOWN.
 */
export function waitForSendRoom(deadlineNs: u64): i32 {
  if (network == NONE) return -Errno.ENETDOWN;
  while (network.up && !hasSendRoom()) {
    if (deadlineNs <= nowNs()) return -Errno.EAGAIN;
    wait(network.space, deadlineNs);
  }
  return network.up ? 0 : -Errno.ENETDOWN;
}

/** Who waits for room; the interface exists. */
export function sendersOf(): WaitQueue {
  return network.space;
}

function transmit(packet: Packet): bool {
  return call_indirect<bool>(network.transmit, network.driver, packet);
}

/**
 * Hands `packet`, header and all, to the device. On success the sender has lost it: the kernel
 * frees it when the device has consumed it. Returns at once: 0, or -ENOBUFS (too many packets wait)
 * or -ENETDOWN, and the packet is still the sender's. Does not yield.
 */
export function SysNetworkSend(packet: Packet): i32 {
  if (network == NONE || !network.up) return -Errno.ENETDOWN;
  const outgoing = network.outgoing;
  if (outgoing.count == 0 && transmit(packet)) return 0;
  if (outgoing.count >= OUTGOING_MAX) return -Errno.ENOBUFS;
  outgoing.push(packet);
  return 0;
}

/**
 * The oldest received packet, or null. It belongs to the caller, who gives it back with
 * releasePacket. Sees nothing once the application uses sockets. Does not yield.
 */
export function SysNetworkRead(): Packet | null {
  return network == NONE ? null : network.incoming.pop();
}

/** Gives a received packet back to the interface, or frees one of the heap. */
export function releasePacket(packet: Packet): void {
  if (packet.received) call_indirect<void>(network.recycle, network.driver, packet);
  else FreePacket(packet);
}

/** Driver: may more packets arrive? */
export function hasReceiveRoom(): bool {
  return network.incoming.count < INCOMING_MAX;
}

/** Driver: a packet has arrived. */
export function packetArrived(packet: Packet): void {
  network.incoming.push(packet);
}

/** Driver: all that has arrived is queued; the owner may look. */
export function arrivalsComplete(): void {
  if (network.owner != 0) call_indirect<void>(network.owner);
}

/** Driver: the ring has room again. */
export function ringHasRoom(): void {
  const outgoing = network.outgoing;
  while (true) {
    const packet = outgoing.first;
    if (!packet || !transmit(packet)) break;
    outgoing.pop();
  }
  // What stopped for want of room goes on: the owner's replies first, then threads. All of them
  // look again: one that was woken for a place may have nothing to send any more.
  if (!hasSendRoom()) return;
  arrivalsComplete();
  if (hasSendRoom()) wakeAll(network.space);
}

/**
 * Driver: the device is gone for good, or all its connections are, and with them the packets that
 * wait in either direction.
 */
export function connectionsLost(up: bool): void {
  network.up = up;
  for (let p = network.outgoing.pop(); p; p = network.outgoing.pop()) FreePacket(p);
  for (let p = network.incoming.pop(); p; p = network.incoming.pop()) releasePacket(p);
  if (network.resetOwner != 0) call_indirect<void>(network.resetOwner);
  wakeAll(network.space);
}
