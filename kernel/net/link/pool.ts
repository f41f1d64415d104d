// The memory of packets: the heap for small payloads, and a pool of buffers for large ones and for
// receive rings. Returned buffers are kept for the next use, up to a share of the heap.
import { EthernetHdr } from "../../../abi/ethernet";
import { IpHdr } from "../../../abi/ip";
import { NET_FRAME_BYTES_MAX, NET_MTU_DEFAULT, NetHdr } from "../../../abi/net";
import { TcpHdr } from "../../../abi/tcp";
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../abi/vsock";
import { IoVec } from "../../iovec";
import { heapBytes, ToroFreeMem, ToroGetAlignedMem, ToroGetMem } from "../../memory";
import { beginAtomic, endAtomic } from "../../scheduler";
import { isInline, Packet, PACKET_OVERHEAD, PacketQueue, resetPacket } from "./packet";
import { pooling, splitHeader } from "./settings";

/** Sizes of pooled payloads. */
export const SMALL: u32 = 0; // with the header of vsock 1526 bytes
export const PAGE: u32 = 1;
export const LARGE: u32 = 2; // 64 KiB
/** Those of network cards: a frame of the usual MTU, and one of many segments. */
export const FRAME: u32 = 3;
export const SEGMENTS: u32 = 4;
export const MERGED: u32 = 7; // a page with the header, in one block
/** The same as PAGE and LARGE, with room for the headers of TCP in front of the first page. */
export const FITTED_PAGE: u32 = 5;
export const FITTED_LARGE: u32 = 6;
const SIZES: u32 = 8;
const NO_SIZE: u32 = 8;

const SMALL_BYTES: u32 = 1526 - VsockHdr.sizeof;
const PAGE_BYTES: u32 = 4096;
const LARGE_BYTES: u32 = 65536;
const FRAME_BYTES: u32 = EthernetHdr.sizeof + NET_MTU_DEFAULT;
/** Later editions of virtio 5.1.6.3.1 want room for IPv6: 65,589 bytes. */
const SEGMENTS_BYTES: u32 = 65600;
/** Headers of a segment of TCP over IPv4 with time stamps, as Linux and we send them. */
export const FITTED_BYTES: u32 = EthernetHdr.sizeof + IpHdr.sizeof + TcpHdr.sizeof + 12;

const capacities: usize = memory.data<u32>([
  SMALL_BYTES,
  PAGE_BYTES,
  LARGE_BYTES,
  FRAME_BYTES,
  SEGMENTS_BYTES,
  FITTED_BYTES + PAGE_BYTES,
  FITTED_BYTES + LARGE_BYTES,
  PAGE_BYTES - NetHdr.sizeof,
]);

if (LARGE_BYTES < <u32>VSOCK_PACKET_BYTES_MAX) ERROR("pool: a packet exceeds every buffer");
if (SEGMENTS_BYTES < NET_FRAME_BYTES_MAX) ERROR("pool: a frame exceeds every buffer");
if (PACKET_OVERHEAD + FITTED_BYTES > PAGE_BYTES) ERROR("pool: headers exceed a page");
if (offsetof<PacketQueue>() != 12) ERROR("pool: a queue is not 12 bytes");

/** At most this share of the heap is kept. */
const KEPT_SHIFT: u32 = 4;

const kept: usize = memory.data(8 * 12); // a PacketQueue for each size
const inFlight: usize = memory.data(8 * 4); // u32 for each size
let keptBytes: u64 = 0;

function keptOf(size: u32): PacketQueue {
  return changetype<PacketQueue>(kept + size * offsetof<PacketQueue>());
}

export function capacityOf(size: u32): u32 {
  assert(size < SIZES, "no such size");
  return load<u32>(capacities + (size << 2));
}

/** The size whose buffer a payload fills at least by half, or NO_SIZE: the heap serves better. */
function sizeFor(bytes: u32): u32 {
  if (bytes > LARGE_BYTES >> 1) return LARGE;
  return bytes > PAGE_BYTES >> 1 && bytes <= PAGE_BYTES ? PAGE : NO_SIZE;
}

/** Buffers of a size that a device, a socket or the application has. */
export function buffersInFlight(size: u32): u32 {
  return load<u32>(inFlight + (size << 2));
}

export function buffersKept(size: u32): u32 {
  return keptOf(size).count;
}

// Packets.

/**
 * A packet with room for `capacity` bytes, its length 0, its header undefined, for the first
 * interface; null: no memory, or more than VSOCK_PACKET_BYTES_MAX.
 */
export function AllocatePacket(capacity: u32): Packet | null {
  if (capacity > <u32>VSOCK_PACKET_BYTES_MAX) return null;
  const size = sizeFor(capacity);
  if (size != NO_SIZE) return takeBuffer(size);
  const packet = createPacket(capacity);
  return packet || !trimPool() ? packet : createPacket(capacity);
}

/**
 * A packet with a table for up to `segments` buffers of the sender, and `extra` bytes after it;
 * null: no memory.
 */
export function allocateGatherPacket(segments: u32, extra: u32 = 0): Packet | null {
  assert(segments != 0, "no bytes");
  const packet = createPacket(segments * <u32>offsetof<IoVec>() + extra);
  if (packet) packet.capacity = 0;
  return packet;
}

/** Where the `extra` bytes of a packet with a table for `segments` buffers begin. */
export function extraOf(packet: Packet, segments: u32): usize {
  return changetype<usize>(packet) + PACKET_OVERHEAD + segments * offsetof<IoVec>();
}

/** A packet in one block of the heap; null: no memory. */
function createPacket(capacity: u32): Packet | null {
  const address = ToroGetMem(PACKET_OVERHEAD + capacity);
  if (address == 0) return null;
  const packet = changetype<Packet>(address);
  packet.pooled = false;
  resetPacket(packet);
  packet.payload = address + PACKET_OVERHEAD;
  packet.capacity = capacity;
  return packet;
}

/**
 * Calls the completion of a packet that no device has and no queue holds, and frees it with its
 * parts. Does not yield.
 */
export function FreePacket(packet: Packet): void {
  assert(!packet.next, "in a list");
  if (packet.parts) freeParts(packet);
  assert(packet.segments == 0 || packet.completion != 0, "buffers without an owner");
  const completion = packet.completion;
  const arg = packet.completionArg;
  const bytes = packet.length;
  if (completion != 0) complete(completion, arg, bytes);
  if (packet.pooled) giveBuffer(packet);
  else ToroFreeMem(changetype<usize>(packet));
}

/** Frees the buffers after the first of a packet that has some. */
export function freeParts(packet: Packet): void {
  let part = packet.parts;
  packet.parts = null;
  while (part) {
    const next = part.next;
    part.next = null;
    FreePacket(part);
    part = next;
  }
}

function complete(completion: u32, arg: usize, bytes: u32): void {
  beginAtomic();
  call_indirect<void>(completion, arg, bytes);
  endAtomic();
}

// Pooled buffers.

/** An empty packet with a buffer of a size; null: no memory. FreePacket takes it back. */
export function takeBuffer(size: u32): Packet | null {
  assert(size < SIZES, "no such size");
  let packet = keptOf(size).pop();
  if (packet) {
    assert(keptBytes >= packet.capacity, "wrong count");
    keptBytes -= packet.capacity;
    resetPacket(packet);
  } else {
    packet = createBuffer(size);
    if (!packet && trimPool()) packet = createBuffer(size);
    if (!packet) return null;
    packet.pooled = true;
    packet.size = <u8>size;
  }
  store<u32>(inFlight + (size << 2), buffersInFlight(size) + 1);
  return packet;
}

function createBuffer(size: u32): Packet | null {
  if (size == FITTED_PAGE || size == FITTED_LARGE) return createFitted(size);
  const isSplit = splitHeader && size != MERGED;
  return isSplit ? createSplit(size) : createPacket(capacityOf(size));
}

/** Does the payload begin FITTED_BYTES in front of a page? */
export function isFitted(packet: Packet): bool {
  return packet.pooled && (packet.size == FITTED_PAGE || packet.size == FITTED_LARGE);
}

/** A packet in one block that ends with pages; its payload begins FITTED_BYTES in front of them. */
function createFitted(size: u32): Packet | null {
  const capacity = capacityOf(size);
  const address = ToroGetAlignedMem(PAGE_BYTES + capacity - FITTED_BYTES, PAGE_BYTES);
  if (address == 0) return null;
  const payload = address + PAGE_BYTES - FITTED_BYTES;
  const packet = changetype<Packet>(payload - PACKET_OVERHEAD);
  resetPacket(packet);
  packet.payload = payload;
  packet.capacity = capacity;
  return packet;
}

/** A packet whose payload has pages of its own. */
function createSplit(size: u32): Packet | null {
  const capacity = capacityOf(size);
  const address = ToroGetMem(PACKET_OVERHEAD);
  const alignment = capacity < PAGE_BYTES ? 0 : PAGE_BYTES;
  const payload = ToroGetAlignedMem(capacity, alignment);
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

function giveBuffer(packet: Packet): void {
  const size = packet.size;
  assert(buffersInFlight(size) != 0, "given back twice");
  store<u32>(inFlight + (size << 2), buffersInFlight(size) - 1);
  if (pooling && keptBytes + packet.capacity <= heapBytes() >> KEPT_SHIFT) {
    keptBytes += packet.capacity;
    assert(packet.capacity == capacityOf(size), "no such size");
    keptOf(size).push(packet);
    return;
  }
  destroyBuffer(packet);
}

function destroyBuffer(packet: Packet): void {
  if (isFitted(packet)) {
    ToroFreeMem(packet.payload + FITTED_BYTES - PAGE_BYTES);
    return;
  }
  if (!isInline(packet)) ToroFreeMem(packet.payload);
  ToroFreeMem(changetype<usize>(packet));
}

/** Memory is short: returns all kept buffers to the heap. Returns false if there were none. */
export function trimPool(): bool {
  if (keptBytes == 0) return false;
  keptBytes = 0;
  for (let size = SMALL; size < SIZES; size++) {
    const packets = keptOf(size);
    for (let packet = packets.pop(); packet; packet = packets.pop()) destroyBuffer(packet);
  }
  return true;
}
