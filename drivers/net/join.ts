// Frames in several buffers: they are copied together, since the network above wants a frame in one
// piece. Each is counted.
import { NetHdr } from "../../abi/net";
import { Packet, PacketQueue, payloadOf, wireHeaderOf } from "../../kernel/net/link/packet";
import {
  AllocatePacket,
  capacityOf,
  LARGE,
  SEGMENTS,
  takeBuffer,
} from "../../kernel/net/link/pool";
import { NetDriver } from "./driver";

/** A packet for a frame of `length` bytes with the header of `first`; null: no memory. */
function allocateJoined(driver: NetDriver, first: Packet, length: u32): Packet | null {
  const whole = length <= capacityOf(LARGE) ? AllocatePacket(length) : takeBuffer(SEGMENTS);
  if (!whole) {
    driver.card.starved++;
    return null;
  }
  const header = wireHeaderOf(first, NetHdr.sizeof);
  memory.copy(wireHeaderOf(whole, NetHdr.sizeof), header, NetHdr.sizeof);
  whole.iface = changetype<usize>(driver.iface);
  whole.received = true;
  whole.length = length;
  driver.card.joined++;
  driver.card.joinedBytes += length;
  return whole;
}

/** The frame of `length` bytes in a packet with parts, in one piece; null: no memory. */
export function joinParts(driver: NetDriver, first: Packet, length: u32): Packet | null {
  const whole = allocateJoined(driver, first, length);
  if (!whole) return null;
  const target = payloadOf(whole);
  let done = min(length, first.capacity);
  memory.copy(target, payloadOf(first), done);
  let part = first.parts;
  while (part) {
    const bytes = min(length - done, part.capacity);
    memory.copy(target + done, payloadOf(part), bytes);
    done += bytes;
    part = part.next;
  }
  assert(done == length, "frame is longer than its buffers");
  return whole;
}

/**
 * The frame of `length` bytes in merged buffers, in one piece; null: no memory. `first` has the
 * header, and is full. In the others the frame goes on where their headers would be; their `length`
 * is what the device has written.
 */
export function joinMerged(
  driver: NetDriver,
  first: Packet,
  others: PacketQueue,
  length: u32,
): Packet | null {
  const whole = allocateJoined(driver, first, length);
  if (!whole) return null;
  let target = payloadOf(whole);
  memory.copy(target, payloadOf(first), first.length);
  target += first.length;
  let other = others.first;
  while (other) {
    const inHeader = min<u32>(other.length, NetHdr.sizeof);
    memory.copy(target, wireHeaderOf(other, NetHdr.sizeof), inHeader);
    memory.copy(target + inHeader, payloadOf(other), other.length - inHeader);
    target += other.length;
    other = other.next;
  }
  assert(target == payloadOf(whole) + length, "frame is longer than its buffers");
  return whole;
}
