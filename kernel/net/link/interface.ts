// Network interfaces: where drivers and the network meet, and Toro's packet calls. Each has an
// owner, which takes the packets that it receives. Those of vsock are registered and have one owner
// for all: an application by SysNetworkRead, or the socket layer from its first socket on. Those of
// network cards are not (card.ts): they belong to TCP/IP.
import { Errno } from "../../../abi/errno";
import { nowNs } from "../../clock";
import { List } from "../../list";
import { heapBytes } from "../../memory";
import { beginAtomic, endAtomic, wait, wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { Packet, PacketQueue } from "./packet";
import { FreePacket } from "./pool";

/** Packets that may wait for room in a device's ring; further senders wait or get -ENOBUFS. */
const OUTGOING_MAX: u32 = 64;
/** While this many packets wait for their owner, a driver posts no new receive buffers. */
const INCOMING_MAX: u32 = 128;
export const INTERFACES_MAX: u32 = 4;
/** A larger packet counts as unfreed: its driver frees it as soon as the device is done. */
export const LINGER_BYTES_MAX: u32 = 4096;

@unmanaged
export class NetworkInterface {
  // The driver, once; `address` and `up` also later.
  address: u32; // its CID, or its IPv4 address
  up: bool;
  types: u32; // bit for each type of socket whose packets it carries
  segmentsMax: u32; // buffers in one packet, the header's included
  transmit: u32; // table index of (driver: usize, packet: Packet): bool; false: the ring is full
  recycle: u32; // of (driver: usize, packet: Packet): void; a receive buffer comes back
  driver: usize;
  // This file; the driver appends to `incoming`, the owner takes from it.
  outgoing: PacketQueue; // sent while the ring was full
  unfreed: u64; // capacity of sent packets larger than LINGER_BYTES_MAX
  incoming: PacketQueue; // received, not yet taken by the owner
  space: WaitQueue; // threads that wait for room
  // The owner.
  drain: u32; // table index of (iface): void, called when packets have arrived; 0: nobody
  reset: u32; // of (iface): void; all connections are gone
  owing: List; // sockets that owe their peer a packet (socket/owed.ts)
}

// Embedded parts, by offset: asc has no embedded structs.
const OUTGOING: usize = (offsetof<NetworkInterface>() + 7) & ~7;
const INCOMING: usize = OUTGOING + offsetof<PacketQueue>();
export const INTERFACE_SPACE: usize = INCOMING + offsetof<PacketQueue>();
const OWING: usize = INTERFACE_SPACE + offsetof<WaitQueue>();
/** Bytes of an interface, for the driver that embeds one. */
export const INTERFACE_BYTES: usize = OWING + offsetof<List>();

export const NO_INTERFACE: NetworkInterface = changetype<NetworkInterface>(0);
export const INTERFACE_LIST: usize = memory.data(4 * 4);
let interfaceCount: u32 = 0;
let isClaimed: bool = false; // false: SysNetworkRead drains

/** The interface of a device, in the order of the devices; NO_INTERFACE: there is none. */
export function interfaceAt(index: u32): NetworkInterface {
  if (index >= interfaceCount) return NO_INTERFACE;
  return changetype<NetworkInterface>(<usize>load<u32>(INTERFACE_LIST + (index << 2)));
}

/** The interface that packets leave by unless they say otherwise. */
export function firstInterface(): NetworkInterface {
  return interfaceAt(0);
}

/** The interface that sends a packet or received it. */
export function interfaceOf(packet: Packet): NetworkInterface {
  return changetype<NetworkInterface>(packet.iface);
}

/** Makes an interface of INTERFACE_BYTES zeroed bytes. The functions are table indices. */
export function initInterface(
  address: usize,
  driver: usize,
  transmit: u32,
  recycle: u32,
): NetworkInterface {
  const iface = changetype<NetworkInterface>(address);
  iface.driver = driver;
  iface.transmit = transmit;
  iface.recycle = recycle;
  iface.outgoing = changetype<PacketQueue>(address + OUTGOING);
  iface.incoming = changetype<PacketQueue>(address + INCOMING);
  iface.space = changetype<WaitQueue>(address + INTERFACE_SPACE);
  iface.owing = changetype<List>(address + OWING);
  return iface;
}

/** Registers an interface of vsock. Returns 0, or -EBUSY: there are too many. */
export function registerInterface(iface: NetworkInterface): i32 {
  assert(iface.transmit != 0 && iface.recycle != 0, "no driver");
  if (interfaceCount == INTERFACES_MAX) return -Errno.EBUSY;
  store<u32>(INTERFACE_LIST + (interfaceCount++ << 2), <u32>changetype<usize>(iface));
  return 0;
}

/**
 * Makes the caller the owner of all registered interfaces, once: `drain` runs when packets have
 * arrived, `reset` when an interface has lost its connections; both are table indices of
 * (iface): void. Returns false if there is an owner.
 */
export function claimInterfaces(drain: u32, reset: u32): bool {
  if (isClaimed) return false;
  isClaimed = true;
  for (let i: u32 = 0; i < interfaceCount; i++) {
    setOwner(interfaceAt(i), drain, reset);
    arrivalsComplete(interfaceAt(i));
  }
  return true;
}

/** Gives an interface its owner; both are table indices of (iface): void, as in its fields. */
export function setOwner(iface: NetworkInterface, drain: u32, reset: u32): void {
  iface.drain = drain;
  iface.reset = reset;
}

/** Does the interface carry packets of sockets of this type? */
export function carries(iface: NetworkInterface, type: u32): bool {
  return iface != NO_INTERFACE && ((iface.types >> type) & 1) != 0;
}

/** Does any interface? */
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
 * May a packet with payload be built and handed over? Sent packets that are not free yet stay
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

/** Threads that wait for room. */
export function sendersOf(iface: NetworkInterface): WaitQueue {
  return iface.space;
}

// Calls through the table, to functions that never yield.

function transmit(iface: NetworkInterface, packet: Packet): bool {
  beginAtomic();
  const taken = call_indirect<bool>(iface.transmit, iface.driver, packet);
  endAtomic();
  return taken;
}

function recycle(iface: NetworkInterface, packet: Packet): void {
  beginAtomic();
  call_indirect<void>(iface.recycle, iface.driver, packet);
  endAtomic();
}

function notifyOwner(callback: u32, iface: NetworkInterface): void {
  if (callback == 0) return;
  beginAtomic();
  call_indirect<void>(callback, iface);
  endAtomic();
}

/**
 * Hands `packet`, header and all, to the device of its interface. On success the sender has lost
 * it: the kernel frees it when the device has consumed it. Returns at once: 0, or -ENOBUFS (too
 * many packets wait) or -ENETDOWN, and the packet is still the sender's. Does not yield.
 */
export function SysNetworkSend(packet: Packet): i32 {
  if (packet.iface == 0) packet.iface = changetype<usize>(firstInterface());
  const iface = interfaceOf(packet);
  if (iface == NO_INTERFACE || !iface.up) return -Errno.ENETDOWN;
  const outgoing = iface.outgoing;
  if (outgoing.count >= OUTGOING_MAX) return -Errno.ENOBUFS;
  iface.unfreed += unfreedBytesOf(packet);
  if (outgoing.count != 0 || !transmit(iface, packet)) outgoing.push(packet);
  return 0;
}

/** No interrupt will tell that a lazy packet is free: its sender bounds how many it has. */
function unfreedBytesOf(packet: Packet): u32 {
  return packet.capacity > LINGER_BYTES_MAX && !packet.isLazy ? packet.capacity : 0;
}

/** Driver: the device has consumed a sent packet, or never will. */
export function freeSent(packet: Packet): void {
  const iface = interfaceOf(packet);
  const bytes = unfreedBytesOf(packet);
  assert(iface.unfreed >= bytes, "wrong count");
  iface.unfreed -= bytes;
  FreePacket(packet);
}

/**
 * The oldest received packet of the first interface that has one, or null. It belongs to the
 * caller, until releasePacket. Always null once the application uses sockets.
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
  if (!packet.received) return FreePacket(packet);
  const iface = interfaceOf(packet);
  assert(!packet.next, "in a list");
  recycle(iface, packet);
}

/** Driver: may it post another receive buffer? */
export function hasReceiveRoom(iface: NetworkInterface): bool {
  return iface.incoming.count < INCOMING_MAX;
}

/** Driver: all received packets are queued; the owner may take them. */
export function arrivalsComplete(iface: NetworkInterface): void {
  notifyOwner(iface.drain, iface);
}

/** Driver: the ring has room again. */
export function ringHasRoom(iface: NetworkInterface): void {
  const outgoing = iface.outgoing;
  while (true) {
    // A packet leaves the queue first: a driver gets none that is still in one.
    const packet = outgoing.pop();
    if (!packet) break;
    if (!transmit(iface, packet)) {
      outgoing.unshift(packet);
      break;
    }
  }
  // Senders that stopped for want of room go on: the owner's replies first, then threads. All of
  // them are woken: one that was woken for a place may have nothing to send any more.
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
  assert(iface.outgoing.count == 0 && iface.incoming.count == 0, "wrong count");
  notifyOwner(iface.reset, iface);
  wakeAll(iface.space);
}
