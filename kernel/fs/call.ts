// A call that asks the server. From beginCall() to endCall() its thread holds a request of the
// session, with this state beside it, and cannot be killed: the device may write to its buffers,
// and replies carry references that must be counted.
//
// A walk moves a call from node to node. `node` is where the call is; lookUp() leaves what it found
// in `found`, and the caller either goes there (stepInto) or takes it (takeFound). Both are held.
import { Errno } from "../../abi/errno";
import { sendForgotten } from "../fuse/forget";
import { acquireRequest, acquireSlowRequest, releaseRequest } from "../fuse/pool";
import { isInFlight } from "../fuse/request";
import { FuseRequest, hasFailed } from "../fuse/session";
import { ToroFreeMem } from "../memory";
import { self, shield, unshield } from "../scheduler";
import { NO_THREAD } from "../thread";
import { FileSystem, Node, NO_NODE } from "./node";
import { reviveDevice } from "./start";
import { distrust, hold, letGo } from "./table";

/** The last part of a path, where a walk ended before it. */
export const enum Last {
  Name,
  Root, // there is none
  Dot,
  DotDot,
}

@unmanaged
export class Call {
  request: FuseRequest;
  fs: FileSystem;
  node: Node;
  found: Node;
  fresh: bool; // the attributes of the node looked up last came in this call
  // The walk (walk.ts).
  links: u32; // symbolic links followed
  scratch: usize; // memory for paths made of their text; 0: none yet
  last: Last;
  slash: bool; // slashes follow the last name
  name: usize; // the last name, whose directory `node` is
  nameBytes: u32;
  // The entry that the server is asked for (lookup.ts).
  made: Node; // in no table yet
  sentNs: u64; // when it was asked
  version: u32; // of the file system then
  // The vector that is transferred (transfer.ts).
  entry: u32; // of the vector: the first one that is not done
  entryBytes: u32; // of that entry, done
  segments: u32; // buffers of the next request
}

/** From here to unshield() the thread cannot be killed. */
export function protect(): void {
  assert(self() != NO_THREAD, "fs: a file call outside a thread");
  shield();
}

/** Takes a request; yields while all are held. Returns the Call (callAt), -EIO or -ENOMEM. */
export function beginCall(fs: FileSystem): i64 {
  protect();
  const session = fs.session;
  if (hasFailed(session) || session.restarting) reviveDevice(fs);
  return begun(fs, acquireRequest(session));
}

/** As beginCall(), for a request that may be answered late. */
export function beginSlowCall(fs: FileSystem): i64 {
  protect();
  return begun(fs, acquireSlowRequest(fs.session));
}

function begun(fs: FileSystem, request: FuseRequest | null): i64 {
  if (!request) {
    unshield();
    return hasFailed(fs.session) ? -Errno.EIO : -Errno.ENOMEM;
  }
  const call = changetype<Call>(request.room);
  leaveNode(call); // of a RELEASE that was answered after its call had ended
  assert(call.scratch == 0 && call.found == NO_NODE, "fs: in use");
  call.request = request;
  call.fs = fs;
  request.result = 0;
  return changetype<usize>(call);
}

/** The call that beginCall() has returned. */
export function callAt(begun: i64): Call {
  assert(begun > 0, "fs: no call");
  return changetype<Call>(<usize>begun);
}

function leaveNode(call: Call): void {
  if (call.node != NO_NODE) letGo(takeNode(call));
}

/** Puts the call on a node, which the caller has held for it. */
export function putOn(call: Call, node: Node): void {
  assert(call.node == NO_NODE && node.uses != 0, "fs: in use");
  call.node = node;
}

/** Takes the node, held, away from the call. */
export function takeNode(call: Call): Node {
  const node = call.node;
  assert(node != NO_NODE, "fs: no node");
  call.node = NO_NODE;
  return node;
}

/** Goes from where the call is to another node. */
export function moveTo(call: Call, node: Node): void {
  hold(node);
  const left = takeNode(call);
  call.node = node;
  letGo(left);
}

/** Goes from where the call is to what was found. */
export function stepInto(call: Call): void {
  const left = takeNode(call);
  call.node = takeFound(call);
  letGo(left);
}

/** Takes what was found, held, away from the call. */
export function takeFound(call: Call): Node {
  const found = call.found;
  assert(found != NO_NODE, "fs: no node");
  call.found = NO_NODE;
  return found;
}

/** Ends the call. A thread that was killed meanwhile does not return. */
export function endCall(call: Call): void {
  const request = call.request;
  const session = request.session;
  assert(call.found == NO_NODE, "fs: in use");
  const inFlight = isInFlight(request);
  if (request.result == -Errno.ESTALE && !inFlight) distrust(call.fs);
  // While a RELEASE is in flight its node must not be forgotten.
  if (!inFlight) leaveNode(call);
  if (call.scratch != 0) {
    ToroFreeMem(call.scratch);
    call.scratch = 0;
  }
  sendForgotten(session);
  releaseRequest(request);
  unshield();
}
