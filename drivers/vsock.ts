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
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import {
  arrivalsComplete,
  connectionsLost,
  hasReceiveRoom,
  NetworkInterface,
  packetArrived,
  registerInterface,
  ringHasRoom,
  theInterface,
} from "../kernel/net/interface";
import {
  AllocatePacket,
  FreePacket,
  headerOf,
  Packet,
  PACKET_OVERHEAD,
  PacketQueue,
} from "../kernel/net/packet";
import { WaitQueue } from "../kernel/thread";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

const RX_SIZE: u32 = 128;
const TX_SIZE: u32 = 256;
const EVENT_SIZE: u32 = 8;
/** A receive buffer fills a page with its record and header. */
const RX_CAPACITY: u32 = 4096 - PACKET_OVERHEAD - 16;
const FEATURES: u64 = 1 << VIRTIO_VSOCK_F_STREAM;

@unmanaged
class VsockDriver {
  device: VirtioDevice;
  rx: VirtQueue;
  tx: VirtQueue;
  event: VirtQueue;
  iface: NetworkInterface;
  events: usize; // EVENT_SIZE buffers of VSOCK_EVENT_BYTES
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
  for (let i: u32 = 0; i < min(EVENT_SIZE, driver.event.size); i++) {
    postEvent(driver, driver.events + i * VSOCK_EVENT_BYTES);
  }
  driver.rx.enableInterrupts();
  driver.tx.enableInterrupts();
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
  if (status == 0) status = device.addQueue(driver.rx, VSOCK_QUEUE_RX, RX_SIZE, 0);
  if (status == 0) status = device.addQueue(driver.tx, VSOCK_QUEUE_TX, TX_SIZE, 0);
  if (status == 0) status = device.addQueue(driver.event, VSOCK_QUEUE_EVENT, EVENT_SIZE, 0);
  if (status < 0) return status;
  if (changetype<usize>(theInterface()) != 0) return -Errno.EBUSY;
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
  connectionsLost(false);
}

function freeAll(queue: VirtQueue): void {
  for (let packet = queue.reclaim(); packet != 0; packet = queue.reclaim()) {
    FreePacket(changetype<Packet>(packet));
  }
}

// Receive.

/**
 * Posts buffers until the ring is full, memory is out or too many packets wait to be looked at;
 * buffers that come back are posted again.
 */
function replenish(driver: VsockDriver): void {
  while (driver.rx.hasRoom(1) && hasReceiveRoom()) {
    const packet = AllocatePacket(RX_CAPACITY);
    if (!packet) break;
    packet.received = true;
    post(driver, packet);
  }
  driver.rx.kick();
}

function post(driver: VsockDriver, packet: Packet): void {
  packet.length = 0;
  packet.offset = 0;
  driver.rx.begin(1);
  driver.rx.writable(headerOf(packet), VsockHdr.sizeof + packet.capacity);
  driver.rx.add(changetype<usize>(packet));
}

/**
 * A received packet has been consumed: its buffer is posted again, or freed if the ring is full.
 */
function recycle(driver: VsockDriver, packet: Packet): void {
  if (driver.device.failed || !driver.rx.hasRoom(1)) {
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
  let arrived = false;
  while (true) {
    const token = rx.take();
    if (token == 0) {
      if (driver.device.failed || !rx.enableInterrupts()) break;
      continue;
    }
    const packet = changetype<Packet>(token);
    if (isValid(driver, packet, rx.usedBytes)) {
      packet.length = load<u32>(headerOf(packet), VsockHdr.len);
      packetArrived(packet);
      arrived = true;
    } else {
      post(driver, packet);
    }
  }
  if (arrived) arrivalsComplete();
  if (!driver.device.failed) replenish(driver);
}

// Transmit.

function transmit(driver: VsockDriver, packet: Packet): bool {
  const tx = driver.tx;
  if (!tx.hasRoom(1)) return false;
  tx.begin(1);
  tx.readable(headerOf(packet), VsockHdr.sizeof + packet.length);
  tx.add(changetype<usize>(packet));
  tx.kick();
  return true;
}

function drainTx(driver: VsockDriver): void {
  const tx = driver.tx;
  let freed = false;
  while (true) {
    const token = tx.take();
    if (token != 0) {
      FreePacket(changetype<Packet>(token));
      freed = true;
    } else if (driver.device.failed || !tx.enableInterrupts()) {
      break;
    }
  }
  if (freed && !driver.device.failed) ringHasRoom();
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
      connectionsLost(true);
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
