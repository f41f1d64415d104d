// A driver of one's own, the half that runs in the guest: see devices/dice.mjs. Drivers may be
// entered where no thread runs, so they use no objects, only @unmanaged classes over memory of the
// kernel; the build refuses others in this folder.
import { Errno, registerDriver, ToroAllocMem } from "torito/kernel/api";
import { VirtioDevice } from "torito/drivers/virtio";
import { VirtQueue } from "torito/drivers/virtqueue";

/** As in devices/dice.mjs. */
const DICE_ID: u32 = 63;
const QUEUE: u32 = 0;
const QUEUE_SIZE_MAX: u32 = 8;
/** Names the chain that is in the queue. */
const TOKEN: usize = 1;

let device: VirtioDevice = changetype<VirtioDevice>(0);
let queue: VirtQueue = changetype<VirtQueue>(0);

// When the kernel boots, it calls start() with every device of the type.
registerDriver(DICE_ID, "dice", start);

/** Brings a device up (virtio 3.1.1). Returns 0, or a negative error. */
function start(found: VirtioDevice): i32 {
  const made = changetype<VirtQueue>(ToroAllocMem(offsetof<VirtQueue>()));
  if (changetype<usize>(made) == 0) return -Errno.ENOMEM;
  let status = found.begin(0);
  if (status == 0) status = made.attach(found, QUEUE, QUEUE_SIZE_MAX, 0);
  if (status < 0) return found.fail();
  found.driverOk();
  device = found;
  queue = made;
  return 0;
}

/**
 * Rolls `count` dice into the bytes at `buffer`. The device answers inside the kick, so this does
 * not wait. Returns how many were rolled, or -ENODEV.
 */
export function roll(buffer: usize, count: u32): i32 {
  if (changetype<usize>(queue) == 0 || device.failed) return -Errno.ENODEV;
  queue.begin(1);
  queue.writable(buffer, count);
  queue.add(TOKEN);
  queue.kick();
  device.acknowledge();
  return queue.take() == TOKEN ? <i32>min(queue.usedBytes, count) : -Errno.ENODEV;
}
