// Who may have a request of the virtio-fs driver, and who waits for one.
import { NEVER, nowNs } from "../../kernel/clock";
import { wait, wakeSome } from "../../kernel/scheduler";
import { FsDriver, FsRequest, RequestState, SILENCE_NS } from "./driver";
import { isOwed, makeRequest, recycle, requestAt } from "./pool";
import { drain, lookAt } from "./replies";

/**
 * Takes a request out of the pool, waiting for one while all are busy. Yields. Null: the device has
 * failed, or there is no memory. releaseRequest gives it back.
 */
export function acquireRequest(driver: FsDriver): FsRequest | null {
  let looks: u32 = 0;
  while (!driver.device.failed) {
    const free = driver.firstFree;
    if (free) {
      driver.firstFree = free.next;
      return free;
    }
    const made = makeRequest(driver);
    if (made || driver.allocated == 0) return made;
    looks = waitForProgress(driver, looks);
  }
  return null;
}

/**
 * As acquireRequest, for one that may be answered late, on a queue of its own. At most half of all
 * requests are such, so that others find one. Yields.
 */
export function acquireSlowRequest(driver: FsDriver): FsRequest | null {
  while (driver.slow >= max<u32>(driver.requestsMax / 2, 1) && !driver.device.failed) {
    wait(driver.slowSpace, NEVER);
  }
  driver.slow++;
  const request = acquireRequest(driver);
  if (request) request.slow = true;
  else endSlow(driver);
  return request;
}

/**
 * Waits until the device has done something, or has gone. Yields. Returns how often it was looked
 * at since it did anything, with those `looks` before.
 */
export function waitForProgress(driver: FsDriver, looks: u32): u32 {
  const since = nowNs();
  if (wait(driver.space, since + SILENCE_NS) == 0) return 0;
  drain(driver);
  if (driver.progressNs >= since || !owes(driver)) return 0;
  lookAt(driver, false, ++looks);
  return looks;
}

/** A thread that is suspended keeps its request for as long as it likes: not the device does. */
function owes(driver: FsDriver): bool {
  for (let i: u32 = 0; i < driver.allocated; i++) if (isOwed(requestAt(driver, i))) return true;
  return driver.hiprio.inFlight != 0;
}

function endSlow(driver: FsDriver): void {
  driver.slow--;
  wakeSome(driver.slowSpace, 1);
}

/** Gives a request back; one that is in flight goes to the pool when the device has answered it. */
export function releaseRequest(request: FsRequest): void {
  if (request.slow) {
    request.slow = false;
    endSlow(request.driver);
  }
  if (request.state == RequestState.InFlight) request.state = RequestState.Detached;
  else recycle(request);
}
