// The receive side of the virtio-net driver (virtio 5.1.6.4): takes frames from used buffers.
import { NetHdr, VIRTIO_NET_F_MRG_RXBUF } from "../../abi/net";
import { arrivalsComplete } from "../../kernel/net/link/interface";
import { Packet, PacketQueue, wireHeaderOf } from "../../kernel/net/link/packet";
import { FreePacket, freeParts } from "../../kernel/net/link/pool";
import { post, replenish, takeUsed } from "./buffers";
import { NetPair } from "./driver";
import { isGoodHeader } from "./header";
import { joinMerged, joinParts } from "./join";

/** 64 KiB in pages of 4 KiB, and one (ND2). */
const MERGED_MAX: u32 = 17;

/** Buffers of one frame after its first, while it is put together. */
const merged = changetype<PacketQueue>(memory.data(offsetof<PacketQueue>()));

/** Queues the frames that the device has written for their owner, and posts new buffers. */
export function receive(pair: NetPair): void {
  const driver = pair.driver;
  const rx = pair.rx;
  let arrived = false;
  while (true) {
    const packet = takeUsed(pair);
    if (!packet) {
      if (driver.device.failed || !rx.enableInterrupts()) break;
      continue;
    }
    const frame = frameOf(pair, packet, rx.usedBytes);
    if (!frame) {
      driver.card.dropped++;
      continue;
    }
    driver.iface.incoming.push(frame);
    arrived = true;
  }
  if (arrived) arrivalsComplete(driver.iface);
  if (!driver.device.failed) replenish(pair);
}

/** The frame that begins in a buffer; null: it is none, and its buffers have gone back. */
function frameOf(pair: NetPair, packet: Packet, usedBytes: u32): Packet | null {
  if (usedBytes < <u32>NetHdr.sizeof) return giveBack(pair, packet); // ND1
  packet.length = usedBytes - NetHdr.sizeof;
  const buffers = <u32>load<u16>(wireHeaderOf(packet, NetHdr.sizeof), NetHdr.num_buffers);
  if (buffers != 1) return mergedFrame(pair, packet, buffers);
  if (!isGoodHeader(pair.driver, packet, packet.length)) return giveBack(pair, packet);
  if (packet.length > packet.capacity) return joinedFrame(pair, packet);
  if (packet.parts) freeParts(packet);
  return packet;
}

function giveBack(pair: NetPair, packet: Packet): Packet | null {
  if (pair.driver.device.failed) FreePacket(packet);
  else post(pair, packet);
  return null;
}

/** A frame in a buffer of several pages. */
function joinedFrame(pair: NetPair, packet: Packet): Packet | null {
  const whole = joinParts(pair.driver, packet, packet.length);
  giveBack(pair, packet);
  return whole;
}

/** A frame that goes on in the buffers that were used next (NW35); null: it breaks a rule. */
function mergedFrame(pair: NetPair, first: Packet, buffers: u32): Packet | null {
  const isAllowed = pair.driver.device.has(VIRTIO_NET_F_MRG_RXBUF);
  if (!isAllowed || buffers == 0 || buffers > MERGED_MAX) return giveBack(pair, first); // ND2
  const length = takeOthers(pair, first, buffers);
  const whole = wholeOf(pair, first, length);
  giveBack(pair, first);
  for (let other = merged.pop(); other; other = merged.pop()) giveBack(pair, other);
  return whole;
}

/**
 * Takes the buffers after the first. Returns the length of the frame; 0: they are not all there,
 * and nobody waits for them (ND2), or one before the last is not full (ND3).
 */
function takeOthers(pair: NetPair, first: Packet, buffers: u32): u32 {
  let isFull = first.length == first.capacity;
  let length = first.length;
  for (let i: u32 = 1; i < buffers; i++) {
    const other = takeUsed(pair);
    if (!other) return 0;
    other.length = pair.rx.usedBytes;
    length += other.length;
    const least: u32 = i + 1 == buffers ? 1 : NetHdr.sizeof + other.capacity;
    if (other.length < least) isFull = false;
    merged.push(other);
  }
  return isFull ? length : 0;
}

function wholeOf(pair: NetPair, first: Packet, length: u32): Packet | null {
  if (length == 0 || !isGoodHeader(pair.driver, first, length)) return null;
  return joinMerged(pair.driver, first, merged, length);
}
