// FORGET, the virtio-fs driver's other half: nodes that the server may forget go out in batches on
// the high-priority queue, which carries nothing else (F7). What finds no room there waits in a
// list.
import { FsDriver } from "./driver";
import { fillBatch } from "./forgotten";
import { drain } from "./replies";
import { waitForProgress } from "./requests";

/** Forgotten nodes that may wait for a batch; whoever would make more waits. */
const FORGOTTEN_MAX: u32 = 256;

/** Sends what was forgotten, as far as the queue has room; the rest follows. Does not yield. */
export function sendForgotten(driver: FsDriver): void {
  while (driver.forgotten != 0 && !driver.device.failed && driver.freeBatches != 0) {
    const batch = driver.freeBatches;
    driver.freeBatches = load<usize>(batch);
    const bytes = fillBatch(driver, batch);
    const hiprio = driver.hiprio;
    hiprio.begin(1);
    hiprio.readable(batch, bytes);
    hiprio.add(batch);
    hiprio.kick();
    drain(driver);
    if (hiprio.inFlight != 0 && hiprio.enableInterrupts()) drain(driver);
  }
}

/** Waits while too many nodes wait to be forgotten. Yields. */
export function waitForForgotten(driver: FsDriver): void {
  let looks: u32 = 0;
  while (driver.forgotten > FORGOTTEN_MAX && !driver.device.failed) {
    sendForgotten(driver);
    if (driver.forgotten > FORGOTTEN_MAX) looks = waitForProgress(driver, looks);
  }
}
