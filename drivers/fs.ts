// virtio-fs driver (virtio 5.11): carries FUSE requests to the device by several queues, and checks
// every reply before it is believed. Here devices are brought up, found and listened to.
import { Errno } from "../abi/errno";
import { FS_QUEUE_HIPRIO, FS_TAG_BYTES_MAX, FsConfig } from "../abi/fuse";
import { INTERRUPT_CONFIG_CHANGE } from "../abi/virtio";
import { registerInterrupt } from "../kernel/interrupt";
import { ToroAllocMem } from "../kernel/memory";
import { WaitQueue } from "../kernel/thread";
import { FsDriver, REQUESTS_MAX } from "./fs/driver";
import { sendForgotten } from "./fs/forget";
import { allocateBatches, BATCHES_MAX, freeBatch } from "./fs/forgotten";
import { addRequestQueues, enableInterrupts, QUEUES_MAX, queueAt } from "./fs/queues";
import { drain, giveUp } from "./fs/replies";
import { VirtioDevice } from "./virtio";
import { VirtQueue } from "./virtqueue";

let firstDriver: FsDriver | null = null;

/** Brings the device up. Returns 0 or -ENODEV, -ENOMEM, -EBUSY; then the device has FAILED. */
export function fsInit(device: VirtioDevice): i32 {
  const driver = changetype<FsDriver>(ToroAllocMem(offsetof<FsDriver>()));
  if (changetype<usize>(driver) == 0) return -Errno.ENOMEM;
  driver.device = device;
  driver.hiprio = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  driver.queues = ToroAllocMem(QUEUES_MAX * offsetof<VirtQueue>());
  driver.space = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  driver.slowSpace = changetype<WaitQueue>(ToroAllocMem(offsetof<WaitQueue>()));
  driver.requests = ToroAllocMem(REQUESTS_MAX * sizeof<usize>());
  driver.tag = ToroAllocMem(FS_TAG_BYTES_MAX);

  let status = device.begin(0);
  if (status == 0) status = driver.hiprio.attach(device, FS_QUEUE_HIPRIO, BATCHES_MAX, 0);
  if (status == 0) status = readTag(driver);
  if (status == 0) status = addRequestQueues(driver);
  if (status == 0) status = allocateBatches(driver);
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
  enableInterrupts(driver);
  driver.device.driverOk();
  driver.live = true;
}

/**
 * Brings a device up again that was given up; nobody has a request in flight. Returns 0 or an
 * error, and the device has FAILED again.
 */
export function fsRestart(driver: FsDriver): i32 {
  const device = driver.device;
  const hiprio = driver.hiprio;
  for (let batch = hiprio.reclaim(); batch != 0; batch = hiprio.reclaim()) freeBatch(driver, batch);
  hiprio.destroy();
  for (let i: u32 = 0; i < driver.queueCount; i++) queueAt(driver, i).destroy();
  memory.fill(changetype<usize>(hiprio), 0, offsetof<VirtQueue>());
  memory.fill(driver.queues, 0, QUEUES_MAX * offsetof<VirtQueue>());
  driver.queueCount = 0;
  device.failed = false;
  let status = device.begin(0);
  if (status == 0) status = hiprio.attach(device, FS_QUEUE_HIPRIO, BATCHES_MAX, 0);
  if (status == 0) status = addRequestQueues(driver);
  // As many as it had before: callers hold requests.
  if (status == 0 && driver.requestsMax < driver.allocated) status = -Errno.ENODEV;
  if (status == 0) start(driver);
  else device.fail();
  return status;
}

/** 5.11.4: the tag ends at its first NUL, or at 36 bytes. */
function readTag(driver: FsDriver): i32 {
  while (driver.tagBytes < <u32>FS_TAG_BYTES_MAX) {
    const byte = driver.device.readConfig8(FsConfig.tag + driver.tagBytes);
    if (byte == 0) break;
    store<u8>(driver.tag + driver.tagBytes++, byte);
  }
  return 0;
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
  sendForgotten(driver);
}
