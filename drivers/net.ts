// virtio-net driver (virtio 5.1): moves frames between the network interface and the rings. This
// file sets it up, ends it and follows the link; net/ holds the two directions.
import { Errno } from "../abi/errno";
import {
  NET_MTU_DEFAULT,
  NET_MTU_MIN,
  NET_QUEUE_RX,
  NET_QUEUE_TX,
  NetConfig,
  NetHdr,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_S_LINK_UP,
} from "../abi/net";
import { INTERRUPT_CONFIG_CHANGE } from "../abi/virtio";
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem, ToroFreeMem } from "../kernel/memory";
import {
  CardOwner,
  EthernetCard,
  frameBytesMax,
  isCardMac,
  loadMac,
  localMac,
} from "../kernel/net/link/card";
import {
  arrivalsComplete,
  connectionsLost,
  initInterface,
  INTERFACE_BYTES,
} from "../kernel/net/link/interface";
import {
  CardCompletion,
  cardCompletion,
  cardIndirect,
  cardRxRing,
  cardSettingsInit,
  cardTxRing,
} from "../kernel/net/link/card-settings";
import { Packet } from "../kernel/net/link/packet";
import { capacityOf, FreePacket, LARGE } from "../kernel/net/link/pool";
import { randomBytes } from "../kernel/std";
import { reserveTimer, stopTimer, Timer, unreserveTimer } from "../kernel/timer";
import { NetDriver } from "./net/driver";
import { recycle, replenish } from "./net/buffers";
import { wantedFeatures } from "./net/features";
import { countBuffers, planBuffers } from "./net/plan";
import { receive } from "./net/receive";
import { transmit } from "./net/transmit";
import { collectSent, freeUnsent, SendRing, TX_SEGMENTS_MAX } from "./send-ring";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

/** A frame is a header and a payload, and no chain is longer than the ring (2.7.5.2). */
const RING_MIN: u32 = 2;
/** The longest IP packet. */
const IP_BYTES_MAX: u32 = 65535;

// One block holds the driver's parts, by offset: asc has no embedded structs.
const RX: usize = (offsetof<NetDriver>() + 7) & ~7;
const TX: usize = RX + offsetof<VirtQueue>();
const CARD: usize = (TX + offsetof<SendRing>() + 7) & ~7;
const IFACE: usize = (CARD + offsetof<EthernetCard>() + 7) & ~7;
const END: usize = (IFACE + INTERFACE_BYTES + 7) & ~7;
const DRIVER_BYTES: usize = END + offsetof<Timer>();

const octets: usize = memory.data(8);

/**
 * Brings the device up, and gives its card to `owner`. Returns 0, or -ENODEV, -EINVAL, -ENOMEM,
 * -EBUSY or the owner's error: then the device has FAILED and the driver is freed.
 */
export function netInit(device: VirtioDevice, owner: CardOwner): i32 {
  const driver = createDriver(device);
  const made = changetype<usize>(driver) == 0 ? -Errno.ENOMEM : setUp(driver, owner);
  if (made < 0) {
    device.fail();
    if (changetype<usize>(driver) != 0) destroyDriver(driver);
    return made;
  }
  const iface = driver.iface;
  iface.up = true;
  iface.segmentsMax = driver.tx.segments;
  driver.rx.enableInterrupts();
  driver.tx.disableInterrupts();
  device.driverOk();
  replenish(driver);
  driver.card.hasLink = readLink(device);
  arrivalsComplete(iface);
  return 0;
}

function createDriver(device: VirtioDevice): NetDriver {
  const address = ToroAllocMem(DRIVER_BYTES);
  const driver = changetype<NetDriver>(address);
  if (address == 0) return driver;
  driver.device = device;
  driver.rx = changetype<VirtQueue>(address + RX);
  driver.tx = changetype<SendRing>(address + TX);
  driver.card = changetype<EthernetCard>(address + CARD);
  driver.end = changetype<Timer>(address + END);
  driver.end.handler = (giveUp as (arg: usize) => void).index;
  driver.end.arg = address;
  driver.iface = initInterface(
    address + IFACE,
    address,
    (transmit as (driver: NetDriver, packet: Packet) => bool).index,
    (recycle as (driver: NetDriver, packet: Packet) => void).index,
  );
  driver.card.iface = driver.iface;
  driver.tx.iface = driver.iface;
  driver.tx.headerBytes = NetHdr.sizeof;
  return driver;
}

/** Negotiates, reads the configuration, makes the rings and finds an owner: what may fail. */
function setUp(driver: NetDriver, owner: CardOwner): i32 {
  const device = driver.device;
  cardSettingsInit();
  let status = device.start();
  if (status == 0) status = device.negotiate(wantedFeatures(device.offered()));
  if (status == 0) status = readCard(device, driver.card);
  if (status == 0) status = makeRings(driver);
  if (status < 0) return status;
  if (reserveTimer() < 0) return -Errno.ENOMEM;
  const owned = connect(driver, owner);
  if (owned < 0) unreserveTimer();
  return owned;
}

function makeRings(driver: NetDriver): i32 {
  const device = driver.device;
  planBuffers(driver);
  const rxTable = cardIndirect ? driver.segments : 0;
  const txTable = cardIndirect ? TX_SEGMENTS_MAX : 0;
  let status = driver.rx.attach(device, NET_QUEUE_RX, cardRxRing, rxTable);
  if (status == 0) status = driver.tx.attach(device, NET_QUEUE_TX, cardTxRing, txTable);
  if (status < 0) return status;
  if (min(driver.rx.size, driver.tx.size) < RING_MIN) return -Errno.ENODEV;
  countBuffers(driver);
  driver.tx.isSingle = cardCompletion == CardCompletion.Sync;
  driver.tx.awaitsAll = cardCompletion == CardCompletion.Interrupt;
  return 0;
}

/** Finds an owner, and routes the device's interrupts to the driver. */
function connect(driver: NetDriver, owner: CardOwner): i32 {
  const owned = owner(driver.card);
  if (owned < 0) return owned;
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (registerInterrupt(driver.device.irq, handler, changetype<usize>(driver))) return 0;
  connectionsLost(driver.iface, false); // the owner forgets the card
  return -Errno.EBUSY;
}

/** Reads what never changes. Returns 0, or -EINVAL: the MTU is none, or beyond our buffers. */
function readCard(device: VirtioDevice, card: EthernetCard): i32 {
  card.mtu = NET_MTU_DEFAULT;
  if (device.has(VIRTIO_NET_F_MTU)) card.mtu = device.readConfig16(NetConfig.mtu);
  if (card.mtu < NET_MTU_MIN || frameBytesMax(card) > capacityOf(LARGE)) return -Errno.EINVAL;
  card.sendsChecksums = device.has(VIRTIO_NET_F_CSUM);
  card.segmentsBytesMax = device.has(VIRTIO_NET_F_HOST_TSO4) ? IP_BYTES_MAX : 0;
  if (device.has(VIRTIO_NET_F_MAC)) card.mac = readMac(device);
  if (isCardMac(card.mac)) return 0;
  randomBytes(octets, 8);
  card.mac = localMac(load<u64>(octets));
  return 0;
}

function readMac(device: VirtioDevice): u64 {
  for (let i: u32 = 0; i < 6; i++) {
    store<u8>(octets + i, <u8>device.readConfig8(NetConfig.mac + i));
  }
  return loadMac(octets);
}

/** NW5. */
function readLink(device: VirtioDevice): bool {
  if (!device.has(VIRTIO_NET_F_STATUS)) return true;
  return (device.readConfig16(NetConfig.status) & VIRTIO_NET_S_LINK_UP) != 0;
}

/** The device has been reset, and nothing refers to the driver. */
function destroyDriver(driver: NetDriver): void {
  driver.rx.destroy();
  driver.tx.destroy();
  ToroFreeMem(changetype<usize>(driver));
}

/** The device has failed and is reset: frees the packets that it had, and tells the owner. */
function giveUp(arg: usize): void {
  const driver = changetype<NetDriver>(arg);
  assert(driver.device.failed, "device is live");
  stopTimer(driver.end);
  const rx = driver.rx;
  for (let p = rx.reclaim(); p != 0; p = rx.reclaim()) FreePacket(changetype<Packet>(p));
  freeUnsent(driver.tx);
  connectionsLost(driver.iface, false);
}

function onInterrupt(arg: usize): void {
  const driver = changetype<NetDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0) configChanged(driver);
  if (!device.failed) {
    collectSent(driver.tx);
    receive(driver);
  }
  if (device.failed) giveUp(arg);
}

function configChanged(driver: NetDriver): void {
  const device = driver.device;
  if (device.needsReset()) {
    device.fail();
    return;
  }
  driver.card.hasLink = readLink(device);
  arrivalsComplete(driver.iface);
}
