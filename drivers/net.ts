// virtio-net driver (virtio 5.1): moves frames between the network interface and the rings. This
// file sets it up, ends it and follows the link; net/ holds the two directions.
import { Errno } from "../abi/errno";
import {
  NET_MTU_DEFAULT,
  NET_MTU_MIN,
  NetConfig,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
  VIRTIO_NET_S_ANNOUNCE,
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
import { cardSettingsInit } from "../kernel/net/link/card-settings";
import {
  arrivalsComplete,
  connectionsLost,
  initInterface,
  INTERFACE_BYTES,
} from "../kernel/net/link/interface";
import { Packet } from "../kernel/net/link/packet";
import { capacityOf, LARGE } from "../kernel/net/link/pool";
import { randomBytes } from "../kernel/std";
import { reserveTimer, stopTimer, Timer, unreserveTimer } from "../kernel/timer";
import { recycle, replenish } from "./net/buffers";
import { acknowledgeAnnouncement, askForPairs, COMMAND_BYTES, takeAnswer } from "./net/control";
import { NetDriver, pairAt } from "./net/driver";
import { wantedFeatures } from "./net/features";
import { receive } from "./net/receive";
import { destroyRings, makeRings, reclaimPackets } from "./net/rings";
import { transmit } from "./net/transmit";
import { collectSent } from "./send-ring";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

/** The longest IP packet. */
const IP_BYTES_MAX: u32 = 65535;

// One block holds the driver's parts, by offset: asc has no embedded structs.
const CONTROL: usize = (offsetof<NetDriver>() + 7) & ~7;
const COMMAND: usize = CONTROL + offsetof<VirtQueue>();
const CARD: usize = (COMMAND + COMMAND_BYTES + 7) & ~7;
const IFACE: usize = (CARD + offsetof<EthernetCard>() + 7) & ~7;
const END: usize = (IFACE + INTERFACE_BYTES + 7) & ~7;
const PATIENCE: usize = (END + offsetof<Timer>() + 7) & ~7;
const DRIVER_BYTES: usize = PATIENCE + offsetof<Timer>();

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
  iface.segmentsMax = pairAt(driver, 0).tx.segments;
  for (let i: u32 = 0; i < driver.pairCount; i++) {
    pairAt(driver, i).rx.enableInterrupts();
    pairAt(driver, i).tx.disableInterrupts();
  }
  device.driverOk();
  for (let i: u32 = 0; i < driver.pairCount; i++) replenish(pairAt(driver, i));
  if (driver.pairCount > 1) askForPairs(driver);
  driver.card.hasLink = (readStatus(device) & VIRTIO_NET_S_LINK_UP) != 0;
  arrivalsComplete(iface);
  return 0;
}

function createDriver(device: VirtioDevice): NetDriver {
  const address = ToroAllocMem(DRIVER_BYTES);
  const driver = changetype<NetDriver>(address);
  if (address == 0) return driver;
  driver.device = device;
  driver.control = changetype<VirtQueue>(address + CONTROL);
  driver.command = address + COMMAND;
  driver.card = changetype<EthernetCard>(address + CARD);
  driver.end = timerAt(address + END, address, (giveUp as (arg: usize) => void).index);
  driver.patience = timerAt(address + PATIENCE, address, (noAnswer as (arg: usize) => void).index);
  driver.iface = initInterface(
    address + IFACE,
    address,
    (transmit as (driver: NetDriver, packet: Packet) => bool).index,
    (recycle as (driver: NetDriver, packet: Packet) => void).index,
  );
  driver.card.iface = driver.iface;
  return driver;
}

function timerAt(address: usize, arg: usize, handler: u32): Timer {
  const timer = changetype<Timer>(address);
  timer.handler = handler;
  timer.arg = arg;
  return timer;
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
  status = reserveTimers();
  if (status < 0) return status;
  const owned = connect(driver, owner);
  if (owned < 0) unreserveTimers();
  return owned;
}

function reserveTimers(): i32 {
  if (reserveTimer() < 0) return -Errno.ENOMEM;
  if (reserveTimer() == 0) return 0;
  unreserveTimer();
  return -Errno.ENOMEM;
}

function unreserveTimers(): void {
  unreserveTimer();
  unreserveTimer();
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
function readStatus(device: VirtioDevice): u32 {
  if (!device.has(VIRTIO_NET_F_STATUS)) return VIRTIO_NET_S_LINK_UP;
  return device.readConfig16(NetConfig.status);
}

/** The device has been reset, and nothing refers to the driver. */
function destroyDriver(driver: NetDriver): void {
  destroyRings(driver);
  ToroFreeMem(changetype<usize>(driver));
}

/** The device has failed and is reset: frees the packets that it had, and tells the owner. */
function giveUp(arg: usize): void {
  const driver = changetype<NetDriver>(arg);
  assert(driver.device.failed, "device is live");
  stopTimer(driver.end);
  stopTimer(driver.patience);
  reclaimPackets(driver);
  connectionsLost(driver.iface, false);
}

/** The device has not answered a command (ND8). */
function noAnswer(arg: usize): void {
  changetype<NetDriver>(arg).device.fail();
  giveUp(arg);
}

function onInterrupt(arg: usize): void {
  const driver = changetype<NetDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0) configChanged(driver);
  if (!device.failed) takeAnswer(driver);
  for (let i: u32 = 0; i < driver.pairCount && !device.failed; i++) {
    const pair = pairAt(driver, i);
    collectSent(pair.tx);
    receive(pair);
  }
  if (device.failed) giveUp(arg);
}

function configChanged(driver: NetDriver): void {
  const device = driver.device;
  if (device.needsReset()) {
    device.fail();
    return;
  }
  const status = readStatus(device);
  const mustAnnounce =
    device.has(VIRTIO_NET_F_GUEST_ANNOUNCE) && (status & VIRTIO_NET_S_ANNOUNCE) != 0;
  if (mustAnnounce) setLink(driver, false); // it was elsewhere: to its owner the link is new
  setLink(driver, (status & VIRTIO_NET_S_LINK_UP) != 0);
  if (mustAnnounce) acknowledgeAnnouncement(driver);
}

function setLink(driver: NetDriver, hasLink: bool): void {
  driver.card.hasLink = hasLink;
  arrivalsComplete(driver.iface);
}
