// Attributes of nodes: GETATTR and SETATTR, and how their replies enter the cache.
import { Errno } from "../../abi/errno";
import {
  FUSE_GETATTR_FH,
  FUSE_ROOT_ID,
  FuseAttr,
  FuseAttrOut,
  FuseGetattrIn,
  FuseOpcode,
  FuseType,
} from "../../abi/fuse";
import { FuseSetattrIn, FuseSetattrValid } from "../../abi/fuse-write";
import { isSane, timeOf, typeIn, validUntil } from "../fuse/attr";
import { prepare, transact } from "../fuse/request";
import { FuseRequest, replyOf } from "../fuse/session";
import { nowNs } from "../clock";
import { isDirectory, Node, NO_NODE, statOf, typeOf } from "./node";
import { expire } from "./table";

/** Gives a node the attributes of a FuseAttr that is sane. */
export function putAttributes(node: Node, attr: usize, untilNs: u64): void {
  assert(node != NO_NODE && isSane(attr), "fs: unchecked");
  node.attrUntilNs = untilNs;
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
 * Asks for a node's attributes, through the open file `fh` if `open`. Yields. Returns 0 or an
 * error.
 */
export function getAttributes(request: FuseRequest, node: Node, open: bool, fh: u64): i32 {
  const sentNs = nowNs();
  const version = node.fs.version;
  const input = prepare(request, FuseOpcode.GETATTR, node.nodeid, FuseGetattrIn.sizeof);
  if (open) store<u32>(input, FUSE_GETATTR_FH, FuseGetattrIn.getattr_flags);
  store<u64>(input, fh, FuseGetattrIn.fh);
  request.replyBytes = FuseAttrOut.sizeof;
  const got = transact(request);
  return got < 0 ? got : takeAttributes(request, node, sentNs, version == node.fs.version);
}

/**
 * Takes the FuseAttrOut of a reply. It is valid for this call alone unless it is `current`: nothing
 * was changed after it was asked for. Returns 0 or an error.
 */
function takeAttributes(request: FuseRequest, node: Node, sentNs: u64, current: bool): i32 {
  const reply = replyOf(request);
  const attr = reply + FuseAttrOut.attr;
  if (!isSane(attr)) return -Errno.EIO;
  const type = typeIn(attr);
  if (node.nodeid == FUSE_ROOT_ID && type != FuseType.DIR) return -Errno.ENOTDIR;
  if (node.nodeid != FUSE_ROOT_ID && type != typeOf(node)) return -Errno.EIO;
  const seconds = current ? load<u64>(reply, FuseAttrOut.attr_valid) : 0;
  const rest = current ? load<u32>(reply, FuseAttrOut.attr_valid_nsec) : 0;
  putAttributes(node, attr, validUntil(sentNs, seconds, rest));
  return 0;
}

/** Prepares a SETATTR that changes nothing yet. Returns its arguments, for sendSetattr(). */
export function prepareSetattr(request: FuseRequest, node: Node): usize {
  return prepare(request, FuseOpcode.SETATTR, node.nodeid, FuseSetattrIn.sizeof);
}

/** Changes the attributes that FuseSetattrIn.valid says. Yields. Returns 0 or an error. */
export function sendSetattr(request: FuseRequest, node: Node): i32 {
  assert(request.opcode == FuseOpcode.SETATTR, "fs: state");
  const fs = node.fs;
  const sentNs = nowNs();
  const version = fs.version;
  request.replyBytes = FuseAttrOut.sizeof;
  const got = transact(request);
  const current = version == fs.version;
  fs.version++;
  expire(node);
  return got < 0 ? got : takeAttributes(request, node, sentNs, current);
}

/** Gives a file another size, by its node. Yields. Returns 0 or an error. */
export function resize(request: FuseRequest, node: Node, size: u64): i32 {
  assert(<i64>size >= 0, "fs: too long");
  if (isDirectory(node)) return -Errno.EISDIR;
  if (typeOf(node) != FuseType.REG) return -Errno.EINVAL;
  const input = prepareSetattr(request, node);
  store<u32>(input, 1 << FuseSetattrValid.SIZE, FuseSetattrIn.valid);
  store<u64>(input, size, FuseSetattrIn.size);
  return sendSetattr(request, node);
}
