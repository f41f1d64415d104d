// Sends the virtio-fs device a FUSE request, and waits for the reply. It is there when the kick
// returns as a rule, so the used rings are looked at before a thread sleeps.
import { Errno } from "../../abi/errno";
import { FuseInHeader, FuseOpcode, FuseOutHeader } from "../../abi/fuse";
import { nowNs } from "../../kernel/clock";
import { wait } from "../../kernel/scheduler";
import {
  bufferOf,
  FsRequest,
  NODEID_VOID,
  putHeader,
  replyHeaderOf,
  requestHeaderOf,
  RequestState,
  SILENCE_NS,
  waiterOf,
} from "./driver";
import { HEADERS, lend, queueFor, segmentAt } from "./queues";
import { drain, lookAt } from "./replies";

/**
 * Sends a request with `argumentBytes` of arguments at argumentsOf(). The reply has exactly
 * `replyBytes` at replyOf(), or, when `data` is not 0, at most `dataBytes` at `data`. Yields unless
 * the device answers at once; the caller is shielded. Returns the bytes of the reply or -Errno.
 */
export function transact(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  data: usize,
  dataBytes: u32,
): i32 {
  post(request, opcode, nodeid, argumentBytes, replyBytes, data, dataBytes);
  if (request.state == RequestState.InFlight) waitForReply(request);
  return request.result;
}

/**
 * As transact(), with up to driver.dataSegments buffers, none of them empty: the device reads them
 * if `sends`, or else what it has to say behind the reply goes there. The vector itself may change
 * from then on.
 */
export function transactVector(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  vector: usize,
  segments: u32,
  sends: bool,
): i32 {
  submit(request, opcode, nodeid, argumentBytes, replyBytes, vector, segments, sends);
  if (request.state == RequestState.InFlight) waitForReply(request);
  return request.result;
}

/** As transact(), without waiting: isInFlight() tells whether it was not answered at once. */
export function post(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  data: usize,
  dataBytes: u32,
): void {
  const vector = bufferOf(request, data, dataBytes);
  submit(request, opcode, nodeid, argumentBytes, replyBytes, vector, data == 0 ? 0 : 1, false);
}

function submit(
  request: FsRequest,
  opcode: FuseOpcode,
  nodeid: u64,
  argumentBytes: u32,
  replyBytes: u32,
  vector: usize,
  segments: u32,
  sends: bool,
): void {
  const driver = request.driver;
  request.state = RequestState.Done;
  request.result = nodeid == NODEID_VOID ? -Errno.ESTALE : -Errno.EIO;
  if (driver.device.failed || nodeid == NODEID_VOID) return;
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < segments; i++) bytes += segmentAt(vector, i).length;
  const header = requestHeaderOf(request);
  const headerBytes = <u32>FuseInHeader.sizeof + argumentBytes;
  request.unique = ++driver.unique;
  request.replyBytes = replyBytes;
  request.dataBytes = sends ? 0 : bytes;
  putHeader(header, sends ? headerBytes + bytes : headerBytes, opcode, request.unique, nodeid);
  const queue = queueFor(driver, request.slow);
  queue.begin(HEADERS + segments);
  queue.readable(header, headerBytes);
  if (sends) lend(queue, vector, segments, true);
  queue.writable(replyHeaderOf(request), <u32>FuseOutHeader.sizeof + replyBytes);
  if (!sends) lend(queue, vector, segments, false);
  request.state = RequestState.InFlight;
  queue.add(changetype<usize>(request));
  queue.kick();
  drain(driver);
  // Somebody has to notice the answer if it comes later.
  if (request.state == RequestState.InFlight && queue.enableInterrupts()) drain(driver);
}

/** Has the device got it, with its buffers? */
export function isInFlight(request: FsRequest): bool {
  return request.state == RequestState.InFlight;
}

function waitForReply(request: FsRequest): void {
  const driver = request.driver;
  for (let looks: u32 = 1; request.state == RequestState.InFlight; looks++) {
    if (wait(waiterOf(request), nowNs() + SILENCE_NS) == 0) continue;
    drain(driver);
    if (request.state != RequestState.InFlight) return;
    lookAt(driver, request.slow, looks);
  }
}
