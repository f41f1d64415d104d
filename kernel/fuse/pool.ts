// The requests of a FUSE session: a pool that grows to what the device takes at a time. A thread
// that finds it empty waits.
import { checkDevice, isSilent } from "../../drivers/fs/completion";
import { SILENCE_NS } from "../../drivers/fs/driver";
import { NEVER, nowNs } from "../clock";
import { wait, wakeSome } from "../scheduler";
import { allocateRequest, FuseRequest, hasFailed, Session } from "./session";

/**
 * Takes a request out of the pool, and waits for one while all are held. Yields. Null: the device
 * has failed, or there is no memory. releaseRequest() gives it back.
 */
export function acquireRequest(session: Session): FuseRequest | null {
  let checks: u32 = 0;
  while (!hasFailed(session)) {
    const free = session.firstFree;
    if (free) {
      session.firstFree = free.next;
      return hold(free);
    }
    const made = grow(session);
    if (made) return hold(made);
    if (session.allocated == 0) return null;
    checks = waitForProgress(session, checks);
  }
  return null;
}

function hold(request: FuseRequest): FuseRequest {
  assert(!request.held && !request.transfer.inFlight, "fs: in use");
  request.held = true;
  return request;
}

/** One more request, or null: the device takes no more, or there is no memory. */
function grow(session: Session): FuseRequest | null {
  if (session.allocated == session.driver.requestsMax) return null;
  assert(session.allocated < session.driver.requestsMax, "fs: count");
  const request = allocateRequest(session);
  if (request) session.allocated++;
  return request;
}

/**
 * As acquireRequest(), for a request that may be answered late and goes to a queue of its own. At
 * most half of all requests are slow, so that others find one. Yields.
 */
export function acquireSlowRequest(session: Session): FuseRequest | null {
  while (session.slow >= slowMax(session) && !hasFailed(session)) wait(session.slowSpace, NEVER);
  session.slow++;
  assert(session.slow <= slowMax(session) || hasFailed(session), "fs: count");
  const request = acquireRequest(session);
  if (request) request.transfer.slow = true;
  else endSlow(session);
  return request;
}

function slowMax(session: Session): u32 {
  return max<u32>(session.driver.requestsMax / 2, 1);
}

function endSlow(session: Session): void {
  assert(session.slow != 0, "fs: count");
  session.slow--;
  wakeSome(session.slowSpace, 1);
}

/**
 * Waits until the device has done something, or has gone. Yields. Returns how often in a row the
 * device was found silent, with the `checks` before.
 */
export function waitForProgress(session: Session, checks: u32): u32 {
  const sinceNs = nowNs();
  if (wait(session.space, sinceNs + SILENCE_NS) == 0) return 0;
  if (!isSilent(session.driver, sinceNs)) return 0;
  checkDevice(session.driver, false, ++checks);
  return checks;
}

/** Gives a request back. One that is in flight is free when the device has answered it. */
export function releaseRequest(request: FuseRequest): void {
  assert(request.held, "fs: not held");
  const transfer = request.transfer;
  if (transfer.slow) {
    transfer.slow = false;
    endSlow(request.session);
  }
  if (transfer.inFlight) transfer.handler = (recycle as (arg: usize) => void).index;
  else recycle(changetype<usize>(request));
}

function recycle(address: usize): void {
  const request = changetype<FuseRequest>(address);
  const session = request.session;
  assert(request.held && !request.transfer.inFlight, "fs: in flight");
  request.held = false;
  request.next = session.firstFree;
  session.firstFree = request;
  wakeSome(session.space, 1);
}
