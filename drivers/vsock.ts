// virtio-vsock driver (virtio 5.10): moves packets between the network interface and the rings.
import {
  INTERRUPT_CONFIG_CHANGE,
} from "./abi/virtio";
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
import { ToroAllocMem } from "../kernel/memory";
import {
  arrivalsComplete,
  connectionsLost,
  NetworkInterface,
  packetArrived,
  registerInterface,
  ringHasRoom,
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

/** Brings the device up. Returns 0 or -ENODEV, -ENOMEM, -EBUSY; then the device has FAILED. */
export function vsockInit(device: VirtioDevice): i32 {
  const driver = changetype<VsockDriver>(ToroAllocMem(offsetof<VsockDriver>()));
  const iface = changetype<NetworkInterface>(ToroAllocMem(offsetof<NetworkInterface>()));
  if (changetype<usize>(driver) == 0 || changetype<usize>(iface) == 0) return -Errno.ENOMEM;
  driver.device = device;
  driver.iface = iface;
  driver.rx = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.tx = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.event = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.events = ToroAllocMem(EVENT_SIZE * VSOCK_EVENT_BYTES);
  iface.outgoing = changetype<PacketQueue>(ToroAllocMem(offsetof<PacketQueue>()));
  iface.incoming = changetype<PacketQueue>(ToroAllocMem(offsetof<PacketQueue>()));
  iface.space = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  iface.driver = changetype<usize>(driver);
  iface.transmit = (transmit as (driver: VsockDriver, packet: Packet) => bool).index;
  iface.recycle = (recycle as (driver: VsockDriver, packet: Packet) => void).index;

  let status = device.begin(FEATURES);
  if (status == 0) status = device.addQueue(driver.rx, VSOCK_QUEUE_RX, RX_SIZE, 0);
  if (status == 0) status = device.addQueue(driver.tx, VSOCK_QUEUE_TX, TX_SIZE, 0);
  if (status == 0) status = device.addQueue(driver.event, VSOCK_QUEUE_EVENT, EVENT_SIZE, 0);
  if (status == 0) status = registerInterface(iface);
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (status == 0 && !registerInterrupt(device.irq, handler, changetype<usize>(driver))) {
    status = -Errno.EBUSY;
  }
  if (status < 0) {
    device.fail();
    return status;
  }
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

// Receive.

/** Posts buffers until the ring is full or memory is out; later frees post again. */
function replenish(driver: VsockDriver): void {
  while (driver.rx.hasRoom(1)) {
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

/** 5.10.6: is what the device wrote a packet for us, as long as it says? */
function isValid(driver: VsockDriver, packet: Packet, usedBytes: u32): bool {
  if (usedBytes < <u32>VsockHdr.sizeof) return false;
  const header = headerOf(packet);
  const length = load<u32>(header, VsockHdr.len);
  return (
    length <= usedBytes - VsockHdr.sizeof &&
    load<u64>(header, VsockHdr.dst_cid) == driver.iface.cid &&
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
  if (device.failed) connectionsLost(false);
}
