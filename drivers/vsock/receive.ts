// The receive side of the virtio-vsock driver (virtio 5.10.6.4): posts buffers and takes packets.
import { VsockHdr } from "../../abi/vsock";
import { heapBytes } from "../../kernel/memory";
import { arrivalsComplete, hasReceiveRoom } from "../../kernel/net/link/interface";
import { headerOf, isInline, Packet, payloadOf } from "../../kernel/net/link/packet";
import {
  capacityOf,
  FreePacket,
  LARGE,
  PAGE,
  SMALL,
  takeBuffer,
} from "../../kernel/net/link/pool";
import { RxBuffers, rxBuffers, splitHeader } from "../../kernel/net/link/settings";
import { VsockDriver } from "./driver";

/** A mixed ring has up to this many large buffers, which take up to this share of the heap. */
const MIXED_LARGE_MAX: u32 = 32;
const MIXED_LARGE_SHIFT: u32 = 5;

/** Descriptors of a receive buffer. */
export function rxSegments(): u32 {
  return splitHeader ? 2 : 1;
}

/** How many large buffers a ring of `size` should hold. */
export function largeWanted(size: u32): u32 {
  if (rxBuffers == RxBuffers.Large) return size;
  if (rxBuffers != RxBuffers.Mixed) return 0;
  const share = <u32>min<u64>(heapBytes() >> MIXED_LARGE_SHIFT, u32.MAX_VALUE);
  return min(min(MIXED_LARGE_MAX, size >> 2), share / capacityOf(LARGE));
}

/**
 * Posts buffers until the ring is full, memory is out or too many received packets wait.
 */
export function replenish(driver: VsockDriver): void {
  while (driver.rx.hasRoom(rxSegments()) && hasReceiveRoom(driver.iface)) {
    const large = driver.large < driver.largeWanted;
    const size = large ? LARGE : rxBuffers == RxBuffers.Small ? SMALL : PAGE;
    const packet = takeBuffer(size) || takeBuffer(PAGE);
    if (!packet) break;
    post(driver, packet);
  }
  driver.rx.kick();
}

function isLarge(packet: Packet): bool {
  return packet.capacity == capacityOf(LARGE);
}

function post(driver: VsockDriver, packet: Packet): void {
  const rx = driver.rx;
  packet.iface = changetype<usize>(driver.iface);
  packet.received = true;
  packet.length = 0;
  packet.offset = 0;
  if (isLarge(packet)) driver.large++;
  assert(driver.large <= rx.size, "wrong count");
  if (isInline(packet)) {
    rx.begin(1);
    rx.writable(headerOf(packet), VsockHdr.sizeof + packet.capacity);
  } else {
    rx.begin(2);
    rx.writable(headerOf(packet), VsockHdr.sizeof);
    rx.writable(payloadOf(packet), packet.capacity);
  }
  rx.add(changetype<usize>(packet));
}

if (VsockHdr.len + 4 > VsockHdr.sizeof) ERROR("vsock: isValid() reads beyond the header");

/**
 * A received packet has been consumed: posts its buffer again, or frees it if the ring has enough
 * of its size.
 */
export function recycle(driver: VsockDriver, packet: Packet): void {
  const enough = isLarge(packet) && driver.large >= driver.largeWanted;
  if (enough || driver.device.failed || !driver.rx.hasRoom(rxSegments())) {
    FreePacket(packet);
    return;
  }
  post(driver, packet);
  driver.rx.kick();
}

/**
 * 5.10.6: did the device write a packet for us, of the length that its header gives? CID 0 belongs
 * to nobody, and marks sockets without a peer in our tables.
 */
function isValid(driver: VsockDriver, packet: Packet, usedBytes: u32): bool {
  if (usedBytes < <u32>VsockHdr.sizeof) return false;
  const header = headerOf(packet);
  const length = load<u32>(header, VsockHdr.len);
  return (
    length <= usedBytes - VsockHdr.sizeof &&
    load<u64>(header, VsockHdr.dst_cid) == driver.iface.address &&
    load<u32>(header, VsockHdr.src_cid) != 0 &&
    load<u32>(header, VsockHdr.src_cid + 4) == 0
  );
}

/** Queues the packets that the device has written for their owner, and posts new buffers. */
export function receive(driver: VsockDriver): void {
  const rx = driver.rx;
  const iface = driver.iface;
  let arrived = false;
  while (true) {
    const token = rx.take();
    if (token == 0) {
      if (driver.device.failed || !rx.enableInterrupts()) break;
      continue;
    }
    const packet = changetype<Packet>(token);
    assert(packet.received, "no receive buffer");
    if (isLarge(packet)) {
      assert(driver.large != 0, "wrong count");
      driver.large--;
    }
    if (isValid(driver, packet, rx.usedBytes)) {
      packet.length = load<u32>(headerOf(packet), VsockHdr.len);
      assert(packet.length <= packet.capacity, "too large"); // the ring has checked usedBytes
      iface.incoming.push(packet);
      arrived = true;
    } else {
      post(driver, packet);
    }
  }
  if (arrived) arrivalsComplete(iface);
  if (!driver.device.failed) replenish(driver);
}
