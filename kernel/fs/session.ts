// FUSE, the client's half: the requests that the file system makes, and what their replies tell of
// nodes. Each of them yields unless the device answers at once; `request` is held by the caller.
import { Errno } from "../../abi/errno";
import {
  FUSE_GETATTR_FH,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MINOR_VERSION_MIN,
  FUSE_PAGE_BYTES,
  FUSE_ROOT_ID,
  FuseAttr,
  FuseAttrOut,
  FuseEntryOut,
  FuseGetattrIn,
  FuseInitFlag,
  FuseInitIn,
  FuseInitOut,
  FuseOpcode,
  FuseType,
} from "../../abi/fuse";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../abi/fuse-window";
import { argumentsOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { sendForgotten, waitForForgotten } from "../../drivers/fs/forget";
import { transact } from "../../drivers/fs/transact";
import { NEVER, nowNs, NS_PER_S } from "../clock";
import { ToroFreeMem, ToroGetMem } from "../memory";
import {
  dropUnused,
  enter,
  evict,
  findById,
  findChild,
  hashName,
  hold,
  makeChild,
  Node,
  NODES_MAX,
  NO_NODE,
  remove,
  Session,
  statOf,
  typeOf,
} from "./node";
import { openWindow } from "./window";

const INIT_FLAGS: u32 =
  (1 << FuseInitFlag.ASYNC_READ) |
  (1 << FuseInitFlag.BIG_WRITES) |
  (1 << FuseInitFlag.PARALLEL_DIROPS) |
  (1 << FuseInitFlag.MAX_PAGES) |
  (1 << FuseInitFlag.MAP_ALIGNMENT);
/** Data of one READ or WRITE, whatever the server allows: a kill waits for no more. */
const DATA_BYTES_MAX: u32 = 1 << 20;
/** What a server without MAX_PAGES takes, as on Linux. */
const PAGES_DEFAULT: u32 = 32;
/** Text of a symbolic link, as on Linux. */
const LINK_BYTES_MAX: u32 = 4096;
/** Seconds beyond which a time-out is none. */
const VALID_S_MAX: u64 = 1 << 32;

/** U1: INIT, and the attributes of the root. Returns 0, -EPROTO, -ENOTDIR or an error. */
export function startSession(request: FsRequest, session: Session): i32 {
  const input = argumentsOf(request, FuseInitIn.sizeof);
  store<u32>(input, FUSE_KERNEL_VERSION, FuseInitIn.major);
  store<u32>(input, FUSE_KERNEL_MINOR_VERSION, FuseInitIn.minor);
  store<u32>(input, DATA_BYTES_MAX, FuseInitIn.max_readahead);
  store<u32>(input, INIT_FLAGS, FuseInitIn.flags);
  const got = transact(request, FuseOpcode.INIT, 0, FuseInitIn.sizeof, FuseInitOut.sizeof, 0, 0);
  if (got < 0) return got;
  const reply = replyOf(request);
  if (load<u32>(reply, FuseInitOut.major) != FUSE_KERNEL_VERSION) return -Errno.EPROTO;
  if (load<u32>(reply, FuseInitOut.minor) < FUSE_MINOR_VERSION_MIN) return -Errno.EPROTO;
  const flags = load<u32>(reply, FuseInitOut.flags) & INIT_FLAGS;
  let pages = PAGES_DEFAULT;
  if ((flags & (1 << FuseInitFlag.MAX_PAGES)) != 0) pages = load<u16>(reply, FuseInitOut.max_pages);
  const bytes = min(pages * FUSE_PAGE_BYTES, load<u32>(reply, FuseInitOut.max_write));
  session.dataBytesMax = min(max<u32>(bytes, FUSE_PAGE_BYTES), DATA_BYTES_MAX);
  const aligns = (flags & (1 << FuseInitFlag.MAP_ALIGNMENT)) != 0;
  const alignment: u32 = aligns ? load<u16>(reply, FuseInitOut.map_alignment) : u32.MAX_VALUE;
  const status = getAttributes(request, session.root, false, 0);
  if (status < 0) return status;
  if (alignment <= <u32>FS_WINDOW_ALIGNMENT_LOG2 && session.window == 0) openWindow(session);
  session.started = true;
  return 0;
}

/**
 * The moment until which something is valid; what was asked for at `sentNs` is no newer than that.
 */
function validUntil(sentNs: u64, seconds: u64, nanoseconds: u32): u64 {
  if (seconds >= VALID_S_MAX) return NEVER;
  return sentNs + seconds * NS_PER_S + min<u64>(nanoseconds, NS_PER_S - 1);
}

/** Can that be a file? D15: of attributes that cannot be true nothing is believed. */
function isSane(attr: usize): bool {
  switch (load<u32>(attr, FuseAttr.mode) >> 12) {
    case FuseType.FIFO:
    case FuseType.CHR:
    case FuseType.DIR:
    case FuseType.BLK:
    case FuseType.REG:
    case FuseType.LNK:
    case FuseType.SOCK:
      return load<u64>(attr, FuseAttr.size) <= <u64>i64.MAX_VALUE;
    default:
      return false;
  }
}

/** Seconds beyond which the nanoseconds do not fit 64 bits. */
const SECONDS_MAX: i64 = 9_223_372_035;

function timeOf(seconds: i64, nanoseconds: u32): i64 {
  const s = min(max(seconds, -SECONDS_MAX), SECONDS_MAX);
  return s * <i64>NS_PER_S + <i64>min<u64>(nanoseconds, NS_PER_S - 1);
}

function putAttributes(node: Node, attr: usize): void {
  node.asked = node.granted = 0;
  const s = statOf(node);
  s.ino = load<u64>(attr, FuseAttr.ino);
  s.size = load<u64>(attr, FuseAttr.size);
  s.mtimeNs = timeOf(load<i64>(attr, FuseAttr.mtime), load<u32>(attr, FuseAttr.mtimensec));
  s.ctimeNs = timeOf(load<i64>(attr, FuseAttr.ctime), load<u32>(attr, FuseAttr.ctimensec));
  s.mode = load<u32>(attr, FuseAttr.mode);
  s.nlink = load<u32>(attr, FuseAttr.nlink);
  s.atimeNs = timeOf(load<i64>(attr, FuseAttr.atime), load<u32>(attr, FuseAttr.atimensec));
  s.blocks = load<u64>(attr, FuseAttr.blocks);
  s.uid = load<u32>(attr, FuseAttr.uid);
  s.gid = load<u32>(attr, FuseAttr.gid);
  s.rdev = load<u32>(attr, FuseAttr.rdev);
  s.blockBytes = load<u32>(attr, FuseAttr.blksize);
}

/**
 * Asks for a node's attributes, by the open file `fh` if there is one. Yields. Returns 0 or error.
 */
export function getAttributes(request: FsRequest, node: Node, open: bool, fh: u64): i32 {
  const sentNs = nowNs();
  const version = node.session.version;
  const input = argumentsOf(request, FuseGetattrIn.sizeof);
  if (open) store<u32>(input, FUSE_GETATTR_FH, FuseGetattrIn.getattr_flags);
  store<u64>(input, fh, FuseGetattrIn.fh);
  const bytes = <u32>FuseGetattrIn.sizeof;
  const got = transact(request, FuseOpcode.GETATTR, node.nodeid, bytes, FuseAttrOut.sizeof, 0, 0);
  if (got < 0) return got;
  return takeAttributes(request, node, sentNs, version == node.session.version);
}

/**
 * Takes the FuseAttrOut that the request was answered with. They count for this call alone unless
 * they are `current`: something was changed after they were asked for. Returns 0 or an error.
 */
export function takeAttributes(
  request: FsRequest,
  node: Node,
  sentNs: u64,
  current: bool,
): i32 {
  const reply = replyOf(request);
  const attr = reply + FuseAttrOut.attr;
  if (!isSane(attr)) return -Errno.EIO;
  const type = load<u32>(attr, FuseAttr.mode) >> 12;
  if (node.nodeid == FUSE_ROOT_ID && type != FuseType.DIR) return -Errno.ENOTDIR;
  if (node.nodeid != FUSE_ROOT_ID && type != typeOf(node)) return -Errno.EIO;
  const seconds = current ? load<u64>(reply, FuseAttrOut.attr_valid) : 0;
  const rest = current ? load<u32>(reply, FuseAttrOut.attr_valid_nsec) : 0;
  node.attrUntilNs = validUntil(sentNs, seconds, rest);
  putAttributes(node, attr);
  return 0;
}

export function hasNul(name: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(name + i) == 0) return true;
  return false;
}

/**
 * Finds `name` in the directory `parent`, which the caller holds: in the cache while it may be
 * believed, else on the server. Yields. Returns 0 with the node, held, in request.node; or -ENOENT,
 * -EINVAL (a NUL in the name) or another error.
 */
export function lookUp(request: FsRequest, parent: Node, name: usize, bytes: u32): i32 {
  const hash = hashName(parent, name, bytes);
  const known = findChild(parent, hash, name, bytes);
  if (known != NO_NODE && known.entryUntilNs > nowNs()) {
    known.referenced = true;
    if (known.nodeid == 0) return -Errno.ENOENT;
    request.fresh = false;
    return stand(request, known);
  }
  if (hasNul(name, bytes)) return -Errno.EINVAL;
  waitForForgotten(request.driver);
  const made = makeChild(parent, hash, name, bytes);
  if (made == NO_NODE) return -Errno.ENOMEM;
  const sentNs = nowNs();
  const version = parent.session.version;
  let got = sendLookup(request, parent, name, bytes);
  if (got == -Errno.ENFILE) {
    makeRoom(request);
    got = sendLookup(request, parent, name, bytes);
  }
  const before = findChild(parent, hash, name, bytes); // others may have looked it up meanwhile
  if (got == -Errno.ENOENT && before != NO_NODE) remove(before);
  const current = version == parent.session.version;
  if (got >= 0) got = takeEntry(request, made, before, sentNs, current, 0);
  // It took another node's place, or was not needed.
  if (!made.hashed) dropUnused(made);
  return got;
}

/** The server's own table is full: it gets half of ours back. Yields. */
export function makeRoom(request: FsRequest): void {
  evict(changetype<Session>(request.driver.session), NODES_MAX / 2);
  sendForgotten(request.driver);
  waitForForgotten(request.driver);
}

function stand(request: FsRequest, node: Node): i32 {
  hold(node);
  request.node = changetype<usize>(node);
  return 0;
}

function sendLookup(request: FsRequest, parent: Node, name: usize, bytes: u32): i32 {
  const input = argumentsOf(request, bytes + 1);
  memory.copy(input, name, bytes);
  const reply = <u32>FuseEntryOut.sizeof;
  return transact(request, FuseOpcode.LOOKUP, parent.nodeid, bytes + 1, reply, 0, 0);
}

/**
 * Makes `made`, or `before` if it is the same node, what the reply says; `current` as in
 * takeAttributes. What was made must be of that type, FuseType, unless it is 0. The reference that
 * came with it is counted first, so that it is given back whatever happens.
 */
export function takeEntry(
  request: FsRequest,
  made: Node,
  before: Node,
  sentNs: u64,
  current: bool,
  type: u32,
): i32 {
  const reply = replyOf(request);
  const attr = reply + FuseEntryOut.attr;
  const nodeid = load<u64>(reply, FuseEntryOut.nodeid);
  let seconds = load<u64>(reply, FuseEntryOut.entry_valid);
  made.entryUntilNs = validUntil(sentNs, seconds, load<u32>(reply, FuseEntryOut.entry_valid_nsec));
  if (nodeid == 0) {
    // U17: there is no such file, and that may be believed for a while; else it were an error.
    if (made.entryUntilNs <= sentNs || type != 0) return -Errno.EIO;
    if (before != NO_NODE) remove(before);
    if (current) enter(made);
    return -Errno.ENOENT;
  }
  if (nodeid == FUSE_ROOT_ID) return -Errno.EIO;
  made.nodeid = nodeid;
  made.generation = load<u64>(reply, FuseEntryOut.generation);
  made.lookups = 1;
  if (nodeid == made.parent.nodeid || !isSane(attr)) return -Errno.EIO;
  if (type != 0 && load<u32>(attr, FuseAttr.mode) >> 12 != type) return -Errno.EIO;
  if (!current) made.entryUntilNs = sentNs;
  const same = findById(made.session, nodeid);
  if (same != NO_NODE && typeOf(same) != load<u32>(attr, FuseAttr.mode) >> 12) return -Errno.EIO;
  let node = made;
  if (before != NO_NODE && before.nodeid == nodeid) {
    before.lookups++;
    made.lookups = 0;
    before.entryUntilNs = made.entryUntilNs;
    before.referenced = true;
    node = before;
  } else {
    if (before != NO_NODE) remove(before);
    enter(made);
  }
  seconds = current ? load<u64>(reply, FuseEntryOut.attr_valid) : 0;
  const rest = current ? load<u32>(reply, FuseEntryOut.attr_valid_nsec) : 0;
  node.attrUntilNs = validUntil(sentNs, seconds, rest);
  putAttributes(node, attr);
  request.fresh = true;
  return stand(request, node);
}

/** Reads the text of a symbolic link, once: it never changes. Yields. Returns 0 or an error. */
export function readLink(request: FsRequest, node: Node): i32 {
  if (node.target != 0) return 0;
  const buffer = ToroGetMem(LINK_BYTES_MAX);
  if (buffer == 0) return -Errno.ENOMEM;
  let got = transact(request, FuseOpcode.READLINK, node.nodeid, 0, 0, buffer, LINK_BYTES_MAX);
  if (got >= 0) got = keepTarget(node, buffer, got);
  ToroFreeMem(buffer);
  return got;
}

function keepTarget(node: Node, text: usize, bytes: u32): i32 {
  if (bytes == 0 || hasNul(text, bytes)) return -Errno.EIO;
  if (node.target != 0) return 0; // another thread has read it meanwhile
  const target = ToroGetMem(bytes);
  if (target == 0) return -Errno.ENOMEM;
  memory.copy(target, text, bytes);
  node.target = target;
  node.targetBytes = bytes;
  return 0;
}
