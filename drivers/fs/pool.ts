// The virtio-fs driver's requests: a pool of bounded size.
import { ToroAllocMem } from "../../kernel/memory";
import { wakeSome } from "../../kernel/scheduler";
import { FsDriver, FsRequest, REQUEST_BYTES, RequestState } from "./driver";

export function requestAt(driver: FsDriver, i: u32): FsRequest {
  return changetype<FsRequest>(load<usize>(driver.requests + i * sizeof<usize>()));
}

/** Has the device got it, whether or not somebody waits? */
export function isOwed(request: FsRequest): bool {
  return request.state == RequestState.InFlight || request.state == RequestState.Detached;
}

/** One more, or null: there are as many as may be, or there is no memory. */
export function makeRequest(driver: FsDriver): FsRequest | null {
  if (driver.allocated == driver.requestsMax) return null;
  const request = changetype<FsRequest>(ToroAllocMem(REQUEST_BYTES));
  if (changetype<usize>(request) == 0) return null;
  request.driver = driver;
  store<usize>(driver.requests + driver.allocated++ * sizeof<usize>(), changetype<usize>(request));
  return request;
}

/** Back to the pool, for who waits for one. */
export function recycle(request: FsRequest): void {
  const driver = request.driver;
  request.state = RequestState.Free;
  request.next = driver.firstFree;
  driver.firstFree = request;
  wakeSome(driver.space, 1);
}
