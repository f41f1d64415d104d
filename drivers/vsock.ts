// virtio-vsock driver (virtio 5.10): moves packets between the network interface and the rings.
import { INTERRUPT_CONFIG_CHANGE } from "./abi/virtio";
import {
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_F_STREAM,
  VSOCK_EVENT_BYTES,
  VSOCK_QUEUE_EVENT,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
  VsockHdr,
} from "./abi/vsock";
import { Errno } from "./abi/errno";
import { NetStats } from "./abi/stats";
import { registerInterrupt } from "../kernel/interrupt";
import { heapBytes, ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import {
  arrivalsComplete,
  connectionsLost,
  hasReceiveRoom,
  NetworkInterface,
  registerInterface,
  ringHasRoom,
} from "../kernel/net/interface";
import {
  AllocatePacket,
  FreePacket,
  headerOf,
  isInline,
  Packet,
  PacketQueue,
  payloadOf,
  segmentOf,
} from "../kernel/net/packet";
import { capacityOf, LARGE, PAGE, SMALL, takeBuffer } from "../kernel/net/pool";
import { VECTOR_MAX } from "../kernel/net/send";
import {
  indirect,
  RxBuffers,
  rxBuffers,
  rxRing,
  splitHeader,
  txRing,
} from "../kernel/net/settings";
import { findSocket, NO_SOCKET, statsOf } from "../kernel/net/socket";
import { copyPayload, NO_STATS } from "../kernel/net/stats";
import { WaitQueue } from "../kernel/thread";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

const EVENT_SIZE: u32 = 8;
/** The header, and what a gather send may consist of. */
const TX_SEGMENTS_MAX: u32 = 1 + VECTOR_MAX;
/** Of a mixed ring so many buffers are large, if they take at most this share of the heap. */
const MIXED_LARGE_MAX: u32 = 32;
const MIXED_LARGE_SHIFT: u32 = 5;
const FEATURES: u64 = 1 << VIRTIO_VSOCK_F_STREAM;

@unmanaged
class VsockDriver {
  device: VirtioDevice;
  rx: VirtQueue;
  tx: VirtQueue;
  event: VirtQueue;
  iface: NetworkInterface;
  events: usize; // EVENT_SIZE buffers of VSOCK_EVENT_BYTES
  largeWanted: u32; // receive buffers of the large class that the ring should hold
  large: u32; // that it holds
  awaited: u32; // sent packets whose end somebody waits for
}

// One block holds the driver's parts, by offset: asc has no embedded structs.
const RX: usize = (offsetof<VsockDriver>() + 7) & ~7;
const TX: usize = RX + offsetof<VirtQueue>();
const EVENT: usize = TX + offsetof<VirtQueue>();
const EVENTS: usize = EVENT + offsetof<VirtQueue>();
const IFACE: usize = EVENTS + EVENT_SIZE * VSOCK_EVENT_BYTES;
const OUTGOING: usize = IFACE + offsetof<NetworkInterface>();
const INCOMING: usize = OUTGOING + offsetof<PacketQueue>();
const SPACE: usize = INCOMING + offsetof<PacketQueue>();
const DRIVER_BYTES: usize = SPACE + offsetof<WaitQueue>();

/**
 * Brings the device up. Returns 0 or -ENODEV, -EINVAL, -ENOMEM, -EBUSY; then the device has FAILED,
 * and nothing of the driver is left.
 */
export function vsockInit(device: VirtioDevice): i32 {
  const driver = createDriver(device);
  const made = changetype<usize>(driver) == 0 ? -Errno.ENOMEM : setUp(driver);
  if (made < 0) {
    device.fail();
    if (changetype<usize>(driver) != 0) destroyDriver(driver);
    return made;
  }
  const iface = driver.iface;
  iface.cid = <u32>device.readConfig64(VsockConfig.guest_cid);
  iface.up = true;
  iface.segmentsMax = driver.tx.segments;
  driver.largeWanted = largeWanted(driver.rx.size);
  for (let i: u32 = 0; i < min(EVENT_SIZE, driver.event.size); i++) {
    postEvent(driver, driver.events + i * VSOCK_EVENT_BYTES);
  }
  driver.rx.enableInterrupts();
  driver.tx.disableInterrupts();
  driver.event.enableInterrupts();
  device.driverOk();
  replenish(driver);
  driver.event.kick();
  return 0;
}

function createDriver(device: VirtioDevice): VsockDriver {
  const address = ToroAllocMem(DRIVER_BYTES);
  const driver = changetype<VsockDriver>(address);
  if (address == 0) return driver;
  const iface = changetype<NetworkInterface>(address + IFACE);
  driver.device = device;
  driver.rx = changetype<VirtQueue>(address + RX);
  driver.tx = changetype<VirtQueue>(address + TX);
  driver.event = changetype<VirtQueue>(address + EVENT);
  driver.events = address + EVENTS;
  driver.iface = iface;
  iface.outgoing = changetype<PacketQueue>(address + OUTGOING);
  iface.incoming = changetype<PacketQueue>(address + INCOMING);
  iface.space = changetype<WaitQueue>(address + SPACE);
  iface.driver = address;
  iface.transmit = (transmit as (driver: VsockDriver, packet: Packet) => bool).index;
  iface.recycle = (recycle as (driver: VsockDriver, packet: Packet) => void).index;
  return driver;
}

/** All that may fail; what others know of the driver comes last. */
function setUp(driver: VsockDriver): i32 {
  const device = driver.device;
  let status = device.begin(FEATURES);
  const rxTable = indirect ? rxSegments() : 0;
  const txTable = indirect ? TX_SEGMENTS_MAX : 0;
  if (status == 0) status = device.addQueue(driver.rx, VSOCK_QUEUE_RX, rxRing, rxTable);
  if (status == 0) status = device.addQueue(driver.tx, VSOCK_QUEUE_TX, txRing, txTable);
  if (status == 0) status = device.addQueue(driver.event, VSOCK_QUEUE_EVENT, EVENT_SIZE, 0);
  if (status < 0) return status;
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (!registerInterrupt(device.irq, handler, changetype<usize>(driver))) return -Errno.EBUSY;
  return registerInterface(driver.iface);
}

/** The device has been reset and nobody knows the driver. */
function destroyDriver(driver: VsockDriver): void {
  driver.rx.destroy();
  driver.tx.destroy();
  driver.event.destroy();
  ToroFreeMem(changetype<usize>(driver));
}

/** The device has failed and is reset: what it had is ours again, and connections are gone. */
function giveUp(driver: VsockDriver): void {
  freeAll(driver.rx);
  freeAll(driver.tx);
  connectionsLost(driver.iface, false);
}

function freeAll(queue: VirtQueue): void {
  for (let packet = queue.reclaim(); packet != 0; packet = queue.reclaim()) {
    FreePacket(changetype<Packet>(packet));
  }
}

// Receive.

function rxSegments(): u32 {
  return splitHeader ? 2 : 1;
}

/** How many large buffers belong into a ring of `size`. */
function largeWanted(size: u32): u32 {
  if (rxBuffers == RxBuffers.Large) return size;
  if (rxBuffers != RxBuffers.Mixed) return 0;
  const share = <u32>min<u64>(heapBytes() >> MIXED_LARGE_SHIFT, u32.MAX_VALUE);
  return min(min(MIXED_LARGE_MAX, size >> 2), share / capacityOf(LARGE));
}

/**
 * Posts buffers until the ring is full, memory is out or too many packets wait to be looked at.
 */
function replenish(driver: VsockDriver): void {
  while (driver.rx.hasRoom(rxSegments()) && hasReceiveRoom(driver.iface)) {
    const large = driver.large < driver.largeWanted;
    const kind = large ? LARGE : rxBuffers == RxBuffers.Small ? SMALL : PAGE;
    const packet = takeBuffer(kind) || takeBuffer(PAGE);
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
  packet.iface = driver.iface;
  packet.received = true;
  packet.length = 0;
  packet.offset = 0;
  if (isLarge(packet)) driver.large++;
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

/**
 * A received packet has been consumed: its buffer is posted again, or freed if the ring has enough
 * of its kind.
 */
function recycle(driver: VsockDriver, packet: Packet): void {
  const enough = isLarge(packet) && driver.large >= driver.largeWanted;
  if (enough || driver.device.failed || !driver.rx.hasRoom(rxSegments())) {
    FreePacket(packet);
    return;
  }
  post(driver, packet);
  driver.rx.kick();
}

/**
 * 5.10.6: is what the device wrote a packet for us, as long as it says? CID 0 is nobody's, and
 * marks sockets without a peer in our tables.
 */
function isValid(driver: VsockDriver, packet: Packet, usedBytes: u32): bool {
  if (usedBytes < <u32>VsockHdr.sizeof) return false;
  const header = headerOf(packet);
  const length = load<u32>(header, VsockHdr.len);
  return (
    length <= usedBytes - VsockHdr.sizeof &&
    load<u64>(header, VsockHdr.dst_cid) == driver.iface.cid &&
    load<u32>(header, VsockHdr.src_cid) != 0 &&
    load<u32>(header, VsockHdr.src_cid + 4) == 0
  );
}

function drainRx(driver: VsockDriver): void {
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
    if (isLarge(packet)) driver.large--;
    if (isValid(driver, packet, rx.usedBytes)) {
      packet.length = load<u32>(headerOf(packet), VsockHdr.len);
      iface.incoming.push(packet);
      arrived = true;
    } else {
      post(driver, packet);
    }
  }
  if (arrived) arrivalsComplete(iface);
  if (!driver.device.failed) replenish(driver);
}

// Transmit. Packets that the device has consumed are freed when the next one is sent or anything
// interrupts; it is asked to interrupt for them only while somebody waits for that, or much memory
// does.

/** A packet of more capacity is not left in the ring. */
const LINGER_BYTES_MAX: u32 = 4096;

function isAwaited(packet: Packet): bool {
  return packet.lending != null || packet.capacity > LINGER_BYTES_MAX;
}

function transmit(driver: VsockDriver, packet: Packet): bool {
  const tx = driver.tx;
  freeUsed(driver);
  const segments = segmentsOf(packet);
  while (!tx.hasRoom(segments)) {
    if (!tx.enableInterrupts()) return false;
    freeUsed(driver);
  }
  const sent = packet.bounced ? bounce(packet) : packet;
  tx.begin(segmentsOf(sent));
  if (sent.segments != 0) {
    tx.readable(headerOf(sent), VsockHdr.sizeof);
    for (let i: u32 = 0; i < sent.segments; i++) {
      const segment = segmentOf(sent, i);
      tx.readable(segment.base, segment.length);
    }
  } else if (isInline(sent)) {
    tx.readable(headerOf(sent), VsockHdr.sizeof + sent.length);
  } else {
    tx.readable(headerOf(sent), VsockHdr.sizeof);
    tx.readable(payloadOf(sent), sent.length);
  }
  tx.add(changetype<usize>(sent));
  if (isAwaited(sent)) {
    driver.awaited++;
    tx.enableInterrupts();
  }
  tx.kick();
  return true;
}

function segmentsOf(packet: Packet): u32 {
  return packet.segments != 0 ? packet.segments + 1 : isInline(packet) ? 1 : 2;
}

/**
 * The second copy of two: into a buffer of the driver's own, like the packet, which is free then.
 */
function bounce(packet: Packet): Packet {
  const buffer = AllocatePacket(packet.capacity);
  if (!buffer) return packet; // without memory it goes as it is
  const header = headerOf(packet);
  memory.copy(headerOf(buffer), header, VsockHdr.sizeof);
  const s = findSocket(
    packet.iface,
    load<u32>(header, VsockHdr.src_port),
    load<u32>(header, VsockHdr.dst_cid),
    load<u32>(header, VsockHdr.dst_port),
  );
  const stats = s == NO_SOCKET ? NO_STATS : statsOf(s);
  const from = payloadOf(packet);
  copyPayload(stats, NetStats.packetToRing, payloadOf(buffer), from, packet.length);
  buffer.iface = packet.iface;
  buffer.length = packet.length;
  FreePacket(packet);
  return buffer;
}

/** Returns false when there was nothing to free. */
function freeUsed(driver: VsockDriver): bool {
  const tx = driver.tx;
  let freed = false;
  for (let token = tx.take(); token != 0; token = tx.take()) {
    const packet = changetype<Packet>(token);
    if (isAwaited(packet)) driver.awaited--;
    FreePacket(packet);
    freed = true;
  }
  return freed;
}

function drainTx(driver: VsockDriver): void {
  const tx = driver.tx;
  tx.disableInterrupts();
  let freed = freeUsed(driver);
  while (driver.awaited != 0 && !driver.device.failed && tx.enableInterrupts()) {
    freed = freeUsed(driver) || freed;
  }
  if (freed && !driver.device.failed) ringHasRoom(driver.iface);
}

// Events.

function postEvent(driver: VsockDriver, buffer: usize): void {
  driver.event.begin(1);
  driver.event.writable(buffer, VSOCK_EVENT_BYTES);
  driver.event.add(buffer);
}

function drainEvents(driver: VsockDriver): void {
  const event = driver.event;
  while (true) {
    const buffer = event.take();
    if (buffer == 0) {
      if (driver.device.failed || !event.enableInterrupts()) break;
      continue;
    }
    const known =
      event.usedBytes >= VSOCK_EVENT_BYTES &&
      load<u32>(buffer) == VIRTIO_VSOCK_EVENT_TRANSPORT_RESET;
    postEvent(driver, buffer);
    if (known) {
      // 5.10.6.7: the CID may be another one, connections are gone, listeners stay.
      driver.iface.cid = <u32>driver.device.readConfig64(VsockConfig.guest_cid);
      connectionsLost(driver.iface, true);
    }
  }
  event.kick();
}

function onInterrupt(arg: usize): void {
  const driver = changetype<VsockDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0 && device.needsReset()) device.fail();
  if (!device.failed) {
    drainTx(driver);
    drainEvents(driver);
    drainRx(driver);
  }
  if (device.failed) giveUp(driver);
}
