// The receive side of the virtio-net driver (virtio 5.1.6.3): posts buffers and takes frames.
import { EthernetHdr } from "../../abi/ethernet";
import {
  NetHdr,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_NONE,
} from "../../abi/net";
import { heapBytes } from "../../kernel/memory";
import { frameBytesMax } from "../../kernel/net/link/card";
import { arrivalsComplete, hasReceiveRoom } from "../../kernel/net/link/interface";
import { isInline, Packet, payloadOf, wireHeaderOf } from "../../kernel/net/link/packet";
import { capacityOf, FreePacket, LARGE, PAGE, takeBuffer } from "../../kernel/net/link/pool";
import { NetDriver } from "./driver";

/** Descriptors of a buffer: the header, and the frame on pages of its own. */
export const RX_SEGMENTS: u32 = 2;
/** The ring takes up to this share of the heap. */
const HEAP_SHIFT: u32 = 4;
/** Buffers that it has at least. */
const BUFFERS_MIN: u32 = 2;

/** Chooses buffers that hold every frame (NW6), and how many of them the ring should have. */
export function planBuffers(driver: NetDriver): void {
  driver.size = frameBytesMax(driver.card) <= capacityOf(PAGE) ? PAGE : LARGE;
  const share = <u32>min<u64>(heapBytes() >> HEAP_SHIFT, u32.MAX_VALUE);
  driver.wanted = min(driver.rx.size, max(BUFFERS_MIN, share / capacityOf(driver.size)));
}

/** Posts buffers until the ring has enough, memory is out or too many frames wait (NW17). */
export function replenish(driver: NetDriver): void {
  while (mayPost(driver) && hasReceiveRoom(driver.iface)) {
    const packet = takeBuffer(driver.size);
    if (!packet) break;
    post(driver, packet);
  }
  driver.rx.kick();
}

function mayPost(driver: NetDriver): bool {
  return driver.posted < driver.wanted && driver.rx.hasRoom(RX_SEGMENTS);
}

function post(driver: NetDriver, packet: Packet): void {
  const rx = driver.rx;
  packet.iface = changetype<usize>(driver.iface);
  packet.received = true;
  packet.length = 0;
  if (isInline(packet)) {
    rx.begin(1);
    rx.writable(wireHeaderOf(packet, NetHdr.sizeof), NetHdr.sizeof + packet.capacity);
  } else {
    rx.begin(RX_SEGMENTS);
    rx.writable(wireHeaderOf(packet, NetHdr.sizeof), NetHdr.sizeof);
    rx.writable(payloadOf(packet), packet.capacity);
  }
  rx.add(changetype<usize>(packet));
  driver.posted++;
}

/** A frame has been consumed: posts its buffer again, or frees it if the ring has enough. */
export function recycle(driver: NetDriver, packet: Packet): void {
  if (driver.device.failed || !mayPost(driver)) return FreePacket(packet);
  post(driver, packet);
  driver.rx.kick();
}

/**
 * Did the device write one frame into this buffer alone, with nothing left to do for us? Other
 * bits and fields of the header are hints, or mean nothing without their feature (NW24).
 */
function isValid(driver: NetDriver, packet: Packet, usedBytes: u32): bool {
  if (usedBytes < <u32>(NetHdr.sizeof + EthernetHdr.sizeof)) return false; // ND1
  if (usedBytes - NetHdr.sizeof > frameBytesMax(driver.card)) return false; // NW3
  const header = wireHeaderOf(packet, NetHdr.sizeof);
  return (
    load<u16>(header, NetHdr.num_buffers) == 1 && // ND2
    load<u8>(header, NetHdr.gso_type) == VIRTIO_NET_HDR_GSO_NONE && // ND4
    (load<u8>(header, NetHdr.flags) & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0
  );
}

/** Queues the frames that the device has written for their owner, and posts new buffers. */
export function receive(driver: NetDriver): void {
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
    assert(packet.received && driver.posted != 0, "no receive buffer");
    driver.posted--;
    if (isValid(driver, packet, rx.usedBytes)) {
      packet.length = rx.usedBytes - NetHdr.sizeof;
      assert(packet.length <= packet.capacity, "too large"); // the ring has checked usedBytes
      iface.incoming.push(packet);
      arrived = true;
    } else {
      driver.dropped++;
      post(driver, packet);
    }
  }
  if (arrived) arrivalsComplete(iface);
  if (!driver.device.failed) replenish(driver);
}
