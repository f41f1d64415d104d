// The memory of packets: the heap for small payloads, and a pool of buffers for large ones and for
// receive rings. Returned buffers are kept for the next use, up to a share of the heap.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../abi/vsock";
import { IoVec } from "../../iovec";
import { heapBytes, ToroFreeMem, ToroGetAlignedMem, ToroGetMem } from "../../memory";
import { beginAtomic, endAtomic } from "../../scheduler";
import { Packet, PACKET_OVERHEAD, PacketQueue, resetPacket } from "./packet";
import { pooling, splitHeader } from "./settings";

/** Sizes of pooled payloads. */
export const SMALL: u32 = 0;
export const PAGE: u32 = 1;
export const LARGE: u32 = 2;
const SIZES: u32 = 3;
const NO_SIZE: u32 = 3;

const SMALL_BYTES: u32 = 1526 - VsockHdr.sizeof;
const PAGE_BYTES: u32 = 4096;
const LARGE_BYTES: u32 = 65536;

if (LARGE_BYTES < <u32>VSOCK_PACKET_BYTES_MAX) ERROR("pool: a packet exceeds every buffer");
if (offsetof<PacketQueue>() != 12) ERROR("pool: a queue is not 12 bytes");

/** At most this share of the heap is kept. */
const KEPT_SHIFT: u32 = 4;

const kept: usize = memory.data(3 * 12); // a PacketQueue for each size
const inFlight: usize = memory.data(3 * 4); // u32 for each size
let keptBytes: u64 = 0;

function keptOf(size: u32): PacketQueue {
  return changetype<PacketQueue>(kept + size * offsetof<PacketQueue>());
}

export function capacityOf(size: u32): u32 {
  return size == LARGE ? LARGE_BYTES : size == PAGE ? PAGE_BYTES : SMALL_BYTES;
}

function sizeOf(packet: Packet): u32 {
  return packet.capacity == LARGE_BYTES ? LARGE : packet.capacity == PAGE_BYTES ? PAGE : SMALL;
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
 * A packet with a table for up to `segments` buffers of the sender, and `extra` bytes after it; null:
 * no memory.
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
 * Calls the completion of a packet that no device has and no queue holds, and frees it. Does not
 * yield.
 */
export function FreePacket(packet: Packet): void {
  assert(!packet.next, "in a list");
  assert(packet.segments == 0 || packet.completion != 0, "buffers without an owner");
  const completion = packet.completion;
  const arg = packet.completionArg;
  const bytes = packet.length;
  if (completion != 0) complete(completion, arg, bytes);
  if (packet.pooled) giveBuffer(packet);
  else ToroFreeMem(changetype<usize>(packet));
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
  }
  store<u32>(inFlight + (size << 2), buffersInFlight(size) + 1);
  return packet;
}

function createBuffer(size: u32): Packet | null {
  return splitHeader ? createSplit(size) : createPacket(capacityOf(size));
}

/** A packet whose payload has pages of its own. */
function createSplit(size: u32): Packet | null {
  const capacity = capacityOf(size);
  const address = ToroGetMem(PACKET_OVERHEAD);
  const payload = size == SMALL ? ToroGetMem(capacity) : ToroGetAlignedMem(capacity, PAGE_BYTES);
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
  const size = sizeOf(packet);
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
  if (splitHeader) ToroFreeMem(packet.payload);
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
