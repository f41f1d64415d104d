// virtio-fs driver (virtio 5.11): carries requests to the device on several queues. This file
// starts, restarts and finds devices, and handles their interrupts.
import { Errno } from "../abi/errno";
import { FS_QUEUE_HIPRIO, FS_TAG_BYTES_MAX, FsConfig } from "../abi/fuse";
import { INTERRUPT_CONFIG_CHANGE } from "../abi/virtio";
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem } from "../kernel/memory";
import { drain, giveUp, notify } from "./fs/completion";
import { FsDriver, MESSAGES_MAX } from "./fs/driver";
import { addRequestQueues, enableInterrupts, isBusy, QUEUES_MAX, queueAt } from "./fs/queues";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

let firstDriver: FsDriver | null = null;

/** Starts the device. Returns 0, or -ENODEV, -ENOMEM or -EBUSY; then the device has FAILED. */
export function fsInit(device: VirtioDevice): i32 {
  const driver = changetype<FsDriver>(ToroAllocMem(offsetof<FsDriver>()));
  if (changetype<usize>(driver) == 0) return -Errno.ENOMEM;
  driver.device = device;
  driver.hiprio = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.queues = ToroAllocMem(QUEUES_MAX * offsetof<VirtQueue>());
  driver.tag = ToroAllocMem(FS_TAG_BYTES_MAX);
  const hiprioAt = changetype<usize>(driver.hiprio);
  if (hiprioAt == 0 || driver.queues == 0 || driver.tag == 0) return -Errno.ENOMEM;

  let status = device.begin(0);
  if (status == 0) status = driver.hiprio.attach(device, FS_QUEUE_HIPRIO, MESSAGES_MAX, 0);
  if (status == 0) readTag(driver);
  if (status == 0) status = addRequestQueues(driver);
  const handler = (onInterrupt as (arg: usize) => void).index;
  if (status == 0 && !registerInterrupt(device.irq, handler, changetype<usize>(driver))) {
    status = -Errno.EBUSY;
  }
  if (status < 0) {
    device.fail();
    return status;
  }
  driver.nextDriver = firstDriver;
  firstDriver = driver;
  start(driver);
  return 0;
}

function start(driver: FsDriver): void {
  assert(!driver.live && !driver.device.failed, "fs: done twice");
  enableInterrupts(driver);
  driver.device.driverOk();
  driver.live = true;
}

/**
 * Restarts a device that was given up; no request is in flight. Returns 0 or an error, also if it
 * does not take `requests` at a time any more, which the owner holds; then it has FAILED again.
 */
export function fsRestart(driver: FsDriver, requests: u32): i32 {
  assert(driver.device.failed && !driver.live, "fs: state");
  assert(!isBusy(driver), "fs: in flight");
  const device = driver.device;
  const hiprio = driver.hiprio;
  hiprio.destroy();
  for (let i: u32 = 0; i < driver.queueCount; i++) queueAt(driver, i).destroy();
  memory.fill(changetype<usize>(hiprio), 0, offsetof<VirtQueue>());
  memory.fill(driver.queues, 0, QUEUES_MAX * offsetof<VirtQueue>());
  driver.queueCount = 0;
  device.failed = false;
  let status = device.begin(0);
  if (status == 0) status = hiprio.attach(device, FS_QUEUE_HIPRIO, MESSAGES_MAX, 0);
  if (status == 0) status = addRequestQueues(driver);
  if (status == 0 && driver.requestsMax < requests) status = -Errno.ENODEV;
  if (status == 0) start(driver);
  else device.fail();
  return status;
}

/** 5.11.4: the tag ends at its first NUL, or at 36 bytes. */
function readTag(driver: FsDriver): void {
  while (driver.tagBytes < <u32>FS_TAG_BYTES_MAX) {
    const byte = driver.device.readConfig8(FsConfig.tag + driver.tagBytes);
    if (byte == 0) break;
    store<u8>(driver.tag + driver.tagBytes++, byte);
  }
}

/** The device with that tag, or null. */
export function findFsDriver(tag: usize, tagBytes: u32): FsDriver | null {
  let driver = firstDriver;
  while (driver) {
    if (driver.tagBytes == tagBytes && memory.compare(driver.tag, tag, tagBytes) == 0) break;
    driver = driver.nextDriver;
  }
  return driver;
}

function onInterrupt(arg: usize): void {
  const driver = changetype<FsDriver>(arg);
  const device = driver.device;
  if (device.failed) return;
  const cause = device.acknowledge();
  if ((cause & INTERRUPT_CONFIG_CHANGE) != 0 && device.needsReset()) return giveUp(driver);
  do {
    drain(driver);
    if (device.failed) return;
  } while (enableInterrupts(driver));
  if (driver.owner != 0) notify(driver.onInterrupt, driver.owner);
}
