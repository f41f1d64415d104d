// The page pool: packets with a large payload, for both directions. Those that come back are kept
// for the next use, up to a share of the heap; the plain allocator serves where pooling is off.
import { VsockHdr } from "../../../abi/vsock";
import { heapBytes, ToroFreeMem, ToroGetAlignedMem, ToroGetMem } from "../../memory";
import { createPacket, Packet, PACKET_OVERHEAD, PacketQueue, resetPacket } from "./packet";
import { pooling, splitHeader } from "./settings";

/** Classes of payload. */
export const SMALL: u32 = 0;
export const PAGE: u32 = 1;
export const LARGE: u32 = 2;
export const NO_CLASS: u32 = 3;

const SMALL_BYTES: u32 = 1526 - VsockHdr.sizeof;
const PAGE_BYTES: u32 = 4096;
const LARGE_BYTES: u32 = 65536;

/** Kept for the next use: so much of the heap at most. */
const KEPT_SHIFT: u32 = 4;

const kept: usize = memory.data(3 * 12); // a PacketQueue for each class
const inFlight: usize = memory.data(3 * 4); // u32
let keptBytes: u64 = 0;

function keptOf(kind: u32): PacketQueue {
  return changetype<PacketQueue>(kept + kind * offsetof<PacketQueue>());
}

export function capacityOf(kind: u32): u32 {
  return kind == LARGE ? LARGE_BYTES : kind == PAGE ? PAGE_BYTES : SMALL_BYTES;
}

function kindOf(packet: Packet): u32 {
  return packet.capacity == LARGE_BYTES ? LARGE : packet.capacity == PAGE_BYTES ? PAGE : SMALL;
}

/** The class for a payload that fills at least half of it, or NO_CLASS: the heap serves better. */
export function classFor(bytes: u32): u32 {
  if (bytes > LARGE_BYTES >> 1) return LARGE;
  return bytes > PAGE_BYTES >> 1 && bytes <= PAGE_BYTES ? PAGE : NO_CLASS;
}

/** Packets of a class that are not in the pool: with a device, a socket or the application. */
export function buffersInFlight(kind: u32): u32 {
  return load<u32>(inFlight + (kind << 2));
}

export function buffersKept(kind: u32): u32 {
  return keptOf(kind).count;
}

/** An empty packet of a class; null: no memory. giveBuffer takes it back. */
export function takeBuffer(kind: u32): Packet | null {
  let packet = keptOf(kind).pop();
  if (packet) {
    keptBytes -= packet.capacity;
    resetPacket(packet);
  } else {
    packet = create(kind);
    if (!packet && trimPool()) packet = create(kind);
    if (!packet) return null;
    packet.pooled = true;
  }
  store<u32>(inFlight + (kind << 2), buffersInFlight(kind) + 1);
  return packet;
}

function create(kind: u32): Packet | null {
  return splitHeader ? createSplit(kind) : createPacket(capacityOf(kind));
}

/** A packet whose payload has pages of its own. */
function createSplit(kind: u32): Packet | null {
  const capacity = capacityOf(kind);
  const address = ToroGetMem(PACKET_OVERHEAD);
  const payload = kind == SMALL ? ToroGetMem(capacity) : ToroGetAlignedMem(capacity, PAGE_BYTES);
  if (address == 0 || payload == 0) {
    ToroFreeMem(address);
    ToroFreeMem(payload);
    return null;
  }
  const packet = changetype<Packet>(address);
  resetPacket(packet);
  packet.payload = payload;
  packet.capacity = capacity;
  return packet;
}

/** Takes back what takeBuffer gave. */
export function giveBuffer(packet: Packet): void {
  const kind = kindOf(packet);
  store<u32>(inFlight + (kind << 2), buffersInFlight(kind) - 1);
  if (pooling && keptBytes + packet.capacity <= heapBytes() >> KEPT_SHIFT) {
    keptBytes += packet.capacity;
    keptOf(kind).push(packet);
    return;
  }
  destroy(packet);
}

function destroy(packet: Packet): void {
  if (splitHeader) ToroFreeMem(packet.payload);
  ToroFreeMem(changetype<usize>(packet));
}

/** Memory is short: gives all that is kept back to the heap. Returns false if that was nothing. */
export function trimPool(): bool {
  if (keptBytes == 0) return false;
  keptBytes = 0;
  for (let kind = SMALL; kind <= LARGE; kind++) {
    const packets = keptOf(kind);
    for (let packet = packets.pop(); packet; packet = packets.pop()) destroy(packet);
  }
  return true;
}
