// From a name in a directory to its node: in the cache while the name is valid, otherwise by
// LOOKUP. Requests that make an entry (make.ts) get the same reply, and take it here too.
import { Errno } from "../../abi/errno";
import { FUSE_ROOT_ID, FuseEntryOut, FuseOpcode } from "../../abi/fuse";
import { isSane, typeIn, validUntil } from "../fuse/attr";
import { sendForgotten, waitForForgotten } from "../fuse/forget";
import { attachBuffer, prepare, transact } from "../fuse/request";
import { FuseRequest, replyOf } from "../fuse/session";
import { nowNs } from "../clock";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { Call } from "./call";
import { FileSystem, nameOf, Node, NO_NODE, typeOf } from "./node";
import { putAttributes } from "./nodeattributes";
import {
  dropUnused,
  enter,
  evict,
  findById,
  findChild,
  hashName,
  hold,
  makeChild,
  remove,
} from "./table";
import { hasNul } from "./text";

/** Text of a symbolic link, as on Linux. */
const LINK_BYTES_MAX: u32 = 4096;

/**
 * Finds `name` in the directory `parent`, which the caller holds. Yields unless it is cached.
 * Returns 0 with the node in call.found; or -ENOENT, -EINVAL (a NUL in the name) or another error.
 */
export function lookUp(call: Call, parent: Node, name: usize, bytes: u32): i32 {
  assert(parent.uses != 0, "fs: not held");
  const hash = hashName(parent, name, bytes);
  const known = findChild(parent, hash, name, bytes);
  if (known != NO_NODE && known.entryUntilNs > nowNs()) {
    known.referenced = true;
    if (known.nodeid == 0) return -Errno.ENOENT;
    call.fresh = false;
    return setFound(call, known);
  }
  if (hasNul(name, bytes)) return -Errno.EINVAL;
  if (!beginEntry(call, parent, hash, name, bytes)) return -Errno.ENOMEM;
  let got = sendLookup(call.request, parent, name, bytes);
  if (got == -Errno.ENFILE) {
    makeRoom(call.fs);
    got = sendLookup(call.request, parent, name, bytes);
  }
  if (got == -Errno.ENOENT) {
    const before = entryBefore(call);
    if (before != NO_NODE) remove(before);
  }
  if (got >= 0) got = takeEntry(call, 0);
  endEntry(call);
  return got;
}

function setFound(call: Call, node: Node): i32 {
  assert(call.found == NO_NODE, "fs: done twice");
  hold(node);
  call.found = node;
  return 0;
}

function sendLookup(request: FuseRequest, parent: Node, name: usize, bytes: u32): i32 {
  const input = prepare(request, FuseOpcode.LOOKUP, parent.nodeid, bytes + 1);
  memory.copy(input, name, bytes);
  request.replyBytes = FuseEntryOut.sizeof;
  return transact(request);
}

/** The server's table is full: it gets half of our nodes back. Yields. */
export function makeRoom(fs: FileSystem): void {
  evict(fs, max(fs.count / 2, 1));
  sendForgotten(fs.session);
  waitForForgotten(fs.session);
}

/**
 * Makes the node for an entry that the server is about to be asked for, in call.made. Yields.
 * Returns false if there is no memory; otherwise endEntry() follows.
 */
export function beginEntry(call: Call, parent: Node, hash: u32, name: usize, bytes: u32): bool {
  waitForForgotten(call.fs.session);
  assert(call.made == NO_NODE, "fs: done twice");
  const made = makeChild(parent, hash, name, bytes);
  if (made == NO_NODE) return false;
  call.made = made;
  call.sentNs = nowNs();
  call.version = call.fs.version;
  return true;
}

/** Drops the node that was made if it was not entered: it is known already, or there is none. */
export function endEntry(call: Call): void {
  const made = call.made;
  assert(made != NO_NODE, "fs: no node");
  call.made = NO_NODE;
  if (!made.hashed) dropUnused(made);
}

/**
 * The node that is known by now under the name of call.made, or null: others may have asked too.
 */
export function entryBefore(call: Call): Node {
  const made = call.made;
  return findChild(made.parent, made.hash, nameOf(made), made.nameBytes);
}

/** Has nothing been changed since the server was asked? */
export function isCurrent(call: Call): bool {
  return call.version == call.fs.version;
}

/**
 * Takes the FuseEntryOut of a reply: as call.made, or as the node that is known already if it is
 * the same. An entry that is not current is valid for this call alone. If `type` is not 0, a file
 * of that FuseType was made. Returns 0 with the node in call.found, -ENOENT or an error.
 */
export function takeEntry(call: Call, type: u32): i32 {
  const made = call.made;
  assert(made != NO_NODE && call.found == NO_NODE, "fs: no node");
  const sentNs = call.sentNs;
  const current = isCurrent(call);
  const reply = replyOf(call.request);
  let seconds = load<u64>(reply, FuseEntryOut.entry_valid);
  made.entryUntilNs = validUntil(sentNs, seconds, load<u32>(reply, FuseEntryOut.entry_valid_nsec));
  if (load<u64>(reply, FuseEntryOut.nodeid) == 0) return takeAbsence(call, type);
  const status = claimEntry(made, reply, type);
  if (status < 0) return status;
  if (!current) made.entryUntilNs = sentNs;
  const node = enterEntry(made, entryBefore(call));
  seconds = current ? load<u64>(reply, FuseEntryOut.attr_valid) : 0;
  const rest = current ? load<u32>(reply, FuseEntryOut.attr_valid_nsec) : 0;
  putAttributes(node, reply + FuseEntryOut.attr, validUntil(sentNs, seconds, rest));
  call.fresh = true;
  return setFound(call, node);
}

/** U17: the server says that there is no file; the answer may be valid for a while. */
function takeAbsence(call: Call, type: u32): i32 {
  const made = call.made;
  if (made.entryUntilNs <= call.sentNs || type != 0) return -Errno.EIO;
  const before = entryBefore(call);
  if (before != NO_NODE) remove(before);
  if (isCurrent(call)) enter(made);
  return -Errno.ENOENT;
}

/**
 * Makes `made` the node that the reply names, if that can be true. The reference that came with it
 * is counted before any check, so that it is given back whatever happens.
 */
function claimEntry(made: Node, reply: usize, type: u32): i32 {
  assert(made.lookups == 0 && !made.hashed, "fs: done twice");
  const nodeid = load<u64>(reply, FuseEntryOut.nodeid);
  const attr = reply + FuseEntryOut.attr;
  if (nodeid == FUSE_ROOT_ID) return -Errno.EIO;
  made.nodeid = nodeid;
  made.generation = load<u64>(reply, FuseEntryOut.generation);
  made.lookups = 1;
  if (nodeid == made.parent.nodeid || !isSane(attr)) return -Errno.EIO;
  if (type != 0 && typeIn(attr) != type) return -Errno.EIO;
  const same = findById(made.fs, nodeid);
  return same != NO_NODE && typeOf(same) != typeIn(attr) ? -Errno.EIO : 0;
}

/** Enters `made` in place of `before`, or moves its reference there if both are the same file. */
function enterEntry(made: Node, before: Node): Node {
  assert(made.lookups == 1 && made.nodeid != 0, "fs: count");
  if (before != NO_NODE && before.nodeid == made.nodeid) {
    before.lookups++;
    made.lookups = 0;
    before.entryUntilNs = made.entryUntilNs;
    before.referenced = true;
    return before;
  }
  if (before != NO_NODE) remove(before);
  enter(made);
  return made;
}

/** Reads the text of a symbolic link, once: it never changes. Yields. Returns 0 or an error. */
export function readLink(request: FuseRequest, node: Node): i32 {
  if (node.target != 0) return 0;
  const buffer = ToroGetMem(LINK_BYTES_MAX);
  if (buffer == 0) return -Errno.ENOMEM;
  prepare(request, FuseOpcode.READLINK, node.nodeid, 0);
  attachBuffer(request, buffer, LINK_BYTES_MAX, false);
  let got = transact(request);
  if (got >= 0) got = keepTarget(node, buffer, got);
  ToroFreeMem(buffer);
  return got;
}

function keepTarget(node: Node, text: usize, bytes: u32): i32 {
  if (bytes == 0 || hasNul(text, bytes)) return -Errno.EIO;
  if (node.target != 0) return 0; // another thread has read it meanwhile
  assert(bytes <= LINK_BYTES_MAX, "fs: too long");
  const target = ToroGetMem(bytes);
  if (target == 0) return -Errno.ENOMEM;
  memory.copy(target, text, bytes);
  node.target = target;
  node.targetBytes = bytes;
  return 0;
}
