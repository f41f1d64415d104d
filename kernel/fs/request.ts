// A call that has to ask the server: from beginCall to endCall its thread has a request, and cannot
// be killed, since the device may write to its buffers and replies carry references to be counted.
import { Errno } from "../../abi/errno";
import { FsRequest } from "../../drivers/fs/driver";
import { sendForgotten } from "../../drivers/fs/forget";
import { acquireRequest, acquireSlowRequest, releaseRequest } from "../../drivers/fs/requests";
import { isInFlight } from "../../drivers/fs/transact";
import { ToroFreeMem } from "../memory";
import { NO_THREAD } from "../thread";
import { self, shield, unshield } from "../scheduler";
import { distrust, letGo, Node, Session } from "./node";
import { reviveDevice } from "./restart";

/** From here to unshield() the thread cannot be killed. */
export function protect(): void {
  assert(self() != NO_THREAD, "fs: a file call outside a thread");
  shield();
}

/** Takes a request. Yields while all are busy. Null: callError() says why. */
export function beginCall(session: Session): FsRequest | null {
  protect();
  if (session.driver.device.failed || session.driver.restarting) reviveDevice(session);
  return begun(acquireRequest(session.driver));
}

/** As beginCall, for a request that may be answered late. */
export function beginSlowCall(session: Session): FsRequest | null {
  protect();
  return begun(acquireSlowRequest(session.driver));
}

function begun(request: FsRequest | null): FsRequest | null {
  if (!request) {
    unshield();
    return null;
  }
  leaveNode(request); // of a RELEASE that was answered after its call had ended
  request.result = 0;
  return request;
}

/** Why there was no request. */
export function callError(session: Session): i32 {
  return session.driver.device.failed ? -Errno.EIO : -Errno.ENOMEM;
}

/** Lets go of where the call stood. */
function leaveNode(request: FsRequest): void {
  const node = request.node;
  if (node == 0) return;
  request.node = 0;
  letGo(changetype<Node>(node));
}

/** Ends the call. A thread that was killed meanwhile does not return. */
export function endCall(request: FsRequest): void {
  const session = changetype<Session>(request.driver.session);
  if (request.result == -Errno.ESTALE && !isInFlight(request)) distrust(session);
  // While a RELEASE is in flight its node must not be forgotten.
  if (!isInFlight(request)) leaveNode(request);
  if (request.scratch != 0) {
    ToroFreeMem(request.scratch);
    request.scratch = 0;
  }
  sendForgotten(request.driver);
  releaseRequest(request);
  unshield();
}
