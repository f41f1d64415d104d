// The receive side of the virtio-net driver (virtio 5.1.6.4): takes frames from used buffers.
import { NetHdr, VIRTIO_NET_F_MRG_RXBUF } from "../../abi/net";
import { arrivalsComplete } from "../../kernel/net/link/interface";
import { Packet, PacketQueue, wireHeaderOf } from "../../kernel/net/link/packet";
import { freeParts } from "../../kernel/net/link/pool";
import { post, recycle, replenish, takeUsed } from "./buffers";
import { NetDriver } from "./driver";
import { isGoodHeader } from "./header";
import { joinMerged, joinParts } from "./join";

/** 64 KiB in pages of 4 KiB, and one (ND2). */
const MERGED_MAX: u32 = 17;

/** Buffers of one frame after its first, while it is put together. */
const merged = changetype<PacketQueue>(memory.data(offsetof<PacketQueue>()));

/** Queues the frames that the device has written for their owner, and posts new buffers. */
export function receive(driver: NetDriver): void {
  const rx = driver.rx;
  let arrived = false;
  while (true) {
    const packet = takeUsed(driver);
    if (!packet) {
      if (driver.device.failed || !rx.enableInterrupts()) break;
      continue;
    }
    const frame = frameOf(driver, packet, rx.usedBytes);
    if (!frame) {
      driver.card.dropped++;
      continue;
    }
    driver.iface.incoming.push(frame);
    arrived = true;
  }
  if (arrived) arrivalsComplete(driver.iface);
  if (!driver.device.failed) replenish(driver);
}

/** The frame that begins in a buffer; null: it is none, and its buffers have gone back. */
function frameOf(driver: NetDriver, packet: Packet, usedBytes: u32): Packet | null {
  if (usedBytes < <u32>NetHdr.sizeof) return giveBack(driver, packet); // ND1
  packet.length = usedBytes - NetHdr.sizeof;
  const buffers = <u32>load<u16>(wireHeaderOf(packet, NetHdr.sizeof), NetHdr.num_buffers);
  if (buffers != 1) return mergedFrame(driver, packet, buffers);
  if (!isGoodHeader(driver, packet, packet.length)) return giveBack(driver, packet);
  if (packet.length > packet.capacity) return joinedFrame(driver, packet);
  if (packet.parts) freeParts(packet);
  return packet;
}

function giveBack(driver: NetDriver, packet: Packet): Packet | null {
  if (driver.device.failed) recycle(driver, packet);
  else post(driver, packet);
  return null;
}

/** A frame in a buffer of several pages. */
function joinedFrame(driver: NetDriver, packet: Packet): Packet | null {
  const whole = joinParts(driver, packet, packet.length);
  giveBack(driver, packet);
  return whole;
}

/** A frame that goes on in the buffers that were used next (NW35); null: it breaks a rule. */
function mergedFrame(driver: NetDriver, first: Packet, buffers: u32): Packet | null {
  const isAllowed = driver.device.has(VIRTIO_NET_F_MRG_RXBUF);
  if (!isAllowed || buffers == 0 || buffers > MERGED_MAX) return giveBack(driver, first); // ND2
  const length = takeOthers(driver, first, buffers);
  const whole = wholeOf(driver, first, length);
  giveBack(driver, first);
  for (let other = merged.pop(); other; other = merged.pop()) giveBack(driver, other);
  return whole;
}

/**
 * Takes the buffers after the first. Returns the length of the frame; 0: they are not all there,
 * and nobody waits for them (ND2), or one before the last is not full (ND3).
 */
function takeOthers(driver: NetDriver, first: Packet, buffers: u32): u32 {
  let isFull = first.length == first.capacity;
  let length = first.length;
  for (let i: u32 = 1; i < buffers; i++) {
    const other = takeUsed(driver);
    if (!other) return 0;
    other.length = driver.rx.usedBytes;
    length += other.length;
    const least: u32 = i + 1 == buffers ? 1 : NetHdr.sizeof + other.capacity;
    if (other.length < least) isFull = false;
    merged.push(other);
  }
  return isFull ? length : 0;
}

function wholeOf(driver: NetDriver, first: Packet, length: u32): Packet | null {
  if (length == 0 || !isGoodHeader(driver, first, length)) return null;
  return joinMerged(driver, first, merged, length);
}
