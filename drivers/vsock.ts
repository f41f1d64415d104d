// virtio-vsock driver (virtio 5.10): moves packets between the network interface and the rings.
// This file sets it up, ends it and serves the event queue; vsock/ holds the two directions.
import { INTERRUPT_CONFIG_CHANGE } from "../abi/virtio";
import {
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_EVENT_BYTES,
  VSOCK_QUEUE_EVENT,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
  VsockHdr,
} from "../abi/vsock";
import { Errno } from "../abi/errno";
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import {
  connectionsLost,
  initInterface,
  INTERFACE_BYTES,
  registerInterface,
} from "../kernel/net/link/interface";
import { Packet } from "../kernel/net/link/packet";
import { FreePacket } from "../kernel/net/link/pool";
import { indirect, rxRing, txRing } from "../kernel/net/link/settings";
import { reserveTimer, stopTimer, Timer, unreserveTimer } from "../kernel/timer";
import { collectSent, freeUnsent, SendRing, TX_SEGMENTS_MAX } from "./send-ring";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";
import { VsockDriver } from "./vsock/driver";
import { largeWanted, receive, recycle, replenish, rxSegments } from "./vsock/receive";
import { transmit } from "./vsock/transmit";

const EVENT_SIZE: u32 = 8;
const FEATURES: u64 =
  (1 << VIRTIO_VSOCK_F_STREAM) |
  (1 << VIRTIO_VSOCK_F_SEQPACKET) |
  (1 << VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);

// One block holds the driver's parts, by offset: asc has no embedded structs.
const RX: usize = (offsetof<VsockDriver>() + 7) & ~7;
const TX: usize = RX + offsetof<VirtQueue>();
const EVENT: usize = TX + offsetof<SendRing>();
const EVENTS: usize = EVENT + offsetof<VirtQueue>();
const IFACE: usize = (EVENTS + EVENT_SIZE * VSOCK_EVENT_BYTES + 7) & ~7;
const END: usize = (IFACE + INTERFACE_BYTES + 7) & ~7;
if ((END & 7) != 0) ERROR("vsock: the timer is not aligned");
const DRIVER_BYTES: usize = END + offsetof<Timer>();
/** A packet is a header and a payload, and no chain is longer than the ring (2.7.5.2). */
const RING_MIN: u32 = 2;

if (VSOCK_EVENT_BYTES != 4) ERROR("vsock: an event is not one u32");

/**
 * Brings the device up. Returns 0, or -ENODEV, -EINVAL, -ENOMEM or -EBUSY: then the device has
 * FAILED and the driver is freed.
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
  iface.address = <u32>device.readConfig64(VsockConfig.guest_cid);
  iface.types = socketTypes(device);
  iface.up = true;
  iface.segmentsMax = driver.tx.segments;
  driver.largeWanted = largeWanted(driver.rx.size);
  for (let i: u32 = 0; i < min(EVENT_SIZE, driver.event.size); i++) {
    postEvent(driver, driver.events + i * VSOCK_EVENT_BYTES);
  }
  assert(iface.segmentsMax >= RING_MIN, "no room for the chain");
  driver.rx.enableInterrupts();
  driver.tx.disableInterrupts();
  driver.event.enableInterrupts();
  device.driverOk();
  replenish(driver);
  driver.event.kick();
  return 0;
}

/** A device without feature bits has streams (V2), unless it declines implied ones (V3). */
function socketTypes(device: VirtioDevice): u32 {
  let types: u32 = 0;
  if (device.has(VIRTIO_VSOCK_F_SEQPACKET)) types |= 1 << VIRTIO_VSOCK_TYPE_SEQPACKET;
  const streams = device.has(VIRTIO_VSOCK_F_STREAM);
  if (streams || !device.has(VIRTIO_VSOCK_F_NO_IMPLIED_STREAM)) {
    types |= 1 << VIRTIO_VSOCK_TYPE_STREAM;
  }
  return types;
}

function createDriver(device: VirtioDevice): VsockDriver {
  const address = ToroAllocMem(DRIVER_BYTES);
  const driver = changetype<VsockDriver>(address);
  if (address == 0) return driver;
  driver.device = device;
  driver.rx = changetype<VirtQueue>(address + RX);
  driver.tx = changetype<SendRing>(address + TX);
  driver.tx.headerBytes = VsockHdr.sizeof;
  driver.event = changetype<VirtQueue>(address + EVENT);
  driver.events = address + EVENTS;
  driver.end = changetype<Timer>(address + END);
  driver.end.handler = (giveUp as (arg: usize) => void).index;
  driver.end.arg = address;
  driver.iface = initInterface(
    address + IFACE,
    address,
    (transmit as (driver: VsockDriver, packet: Packet) => bool).index,
    (recycle as (driver: VsockDriver, packet: Packet) => void).index,
  );
  driver.tx.iface = driver.iface;
  return driver;
}

/** Negotiates, makes the rings, and registers the driver: the steps that may fail. */
function setUp(driver: VsockDriver): i32 {
  const device = driver.device;
  let status = device.begin(FEATURES);
  const rxTable = indirect ? rxSegments() : 0;
  const txTable = indirect ? TX_SEGMENTS_MAX : 0;
  if (status == 0) status = driver.rx.attach(device, VSOCK_QUEUE_RX, rxRing, rxTable);
  if (status == 0) status = driver.tx.attach(device, VSOCK_QUEUE_TX, txRing, txTable);
  if (status == 0) status = driver.event.attach(device, VSOCK_QUEUE_EVENT, EVENT_SIZE, 0);
  if (status < 0) return status;
  if (min(driver.rx.size, driver.tx.size) < RING_MIN) return -Errno.ENODEV;
  if (reserveTimer() < 0) return -Errno.ENOMEM;
  const added = connect(driver);
  if (added < 0) unreserveTimer();
  return added;
}

/** Routes the device's interrupts to the driver, and registers its interface. */
function connect(driver: VsockDriver): i32 {
  const device = driver.device;
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (!registerInterrupt(device.irq, handler, changetype<usize>(driver))) return -Errno.EBUSY;
  return registerInterface(driver.iface);
}

/** The device has been reset, and nothing refers to the driver. */
function destroyDriver(driver: VsockDriver): void {
  driver.rx.destroy();
  driver.tx.destroy();
  driver.event.destroy();
  ToroFreeMem(changetype<usize>(driver));
}

/** The device has failed and is reset: frees the packets that it had and ends all connections. */
function giveUp(arg: usize): void {
  const driver = changetype<VsockDriver>(arg);
  assert(driver.device.failed, "device is live");
  stopTimer(driver.end);
  const rx = driver.rx;
  for (let p = rx.reclaim(); p != 0; p = rx.reclaim()) FreePacket(changetype<Packet>(p));
  freeUnsent(driver.tx);
  connectionsLost(driver.iface, false);
}

// Events.

function postEvent(driver: VsockDriver, buffer: usize): void {
  assert(buffer - driver.events < EVENT_SIZE * VSOCK_EVENT_BYTES, "not an event's buffer");
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
      // 5.10.6.7: the CID may have changed; connections are gone, listeners stay.
      driver.iface.address = <u32>driver.device.readConfig64(VsockConfig.guest_cid);
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
    drainEvents(driver); // first, so that no packet is sent with an old CID
    collectSent(driver.tx);
    receive(driver);
  }
  if (device.failed) giveUp(arg);
}
