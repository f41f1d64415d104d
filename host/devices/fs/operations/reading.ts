// FUSE operations that only read.
import { Errno } from "../../../../abi/errno.ts";
import {
  FUSE_GETATTR_FH,
  FUSE_O_ACCMODE,
  FUSE_O_RDONLY,
  FUSE_O_TRUNC,
  FUSE_ROOT_ID,
  FUSE_SEEK_DATA,
  FUSE_SEEK_HOLE,
  FUSE_W_OK,
  FuseAccessIn,
  FuseAttrOut,
  FuseEntryOut,
  FuseGetattrIn,
  FuseLseekIn,
  FuseLseekOut,
  FuseOpcode,
  FuseOpenIn,
  FuseOpenOut,
  FuseOutHeader,
  FuseReadIn,
  FuseReleaseIn,
  FuseStatfsOut,
  FuseType,
} from "../../../../abi/fuse.ts";
import type { Node } from "../nodes/node.ts";
import { DATA_BYTES_MAX, dotsIn, type FuseRequest, REPLY_BYTES_MAX } from "../request.ts";
import type { Share } from "../share.ts";
import { orUndo } from "../undo.ts";
import { getU64, putAttributes, putEntry, putOpen, putStatfs, putValid } from "./attributes.ts";
import { putEntries } from "./directory.ts";
import { type Entry, reading, type Serve } from "./entry.ts";

const OFFSET_MAX = 0x7fffffffffffffffn;
/** Up to here an offset is a number: adding DATA_BYTES_MAX to it is still exact. */
const OFFSET_EXACT_MAX = 2 ** 52;

export const READING: readonly Entry[] = [
  reading(FuseOpcode.LOOKUP, 2, FuseEntryOut.sizeof, lookup),
  reading(FuseOpcode.GETATTR, FuseGetattrIn.sizeof, FuseAttrOut.sizeof, getattr),
  reading(FuseOpcode.READLINK, 0, 0, readlink),
  reading(FuseOpcode.OPEN, FuseOpenIn.sizeof, FuseOpenOut.sizeof, open),
  reading(FuseOpcode.READ, FuseReadIn.sizeof, 0, read),
  reading(FuseOpcode.STATFS, 0, FuseStatfsOut.sizeof, statfs),
  reading(FuseOpcode.RELEASE, FuseReleaseIn.sizeof, 0, release(false)),
  reading(FuseOpcode.OPENDIR, FuseOpenIn.sizeof, FuseOpenOut.sizeof, opendir),
  reading(FuseOpcode.READDIR, FuseReadIn.sizeof, 0, readdir(false)),
  reading(FuseOpcode.READDIRPLUS, FuseReadIn.sizeof, 0, readdir(true)),
  reading(FuseOpcode.RELEASEDIR, FuseReleaseIn.sizeof, 0, release(true)),
  reading(FuseOpcode.ACCESS, FuseAccessIn.sizeof, 0, access),
  reading(FuseOpcode.LSEEK, FuseLseekIn.sizeof, FuseLseekOut.sizeof, lseek),
];

/** U8: "." and the root's ".." are the node itself; above the root there is nothing. */
function lookup(share: Share, request: FuseRequest, parent: Node): number {
  const name = request.name(0);
  if (typeof name === "number") return name;
  if (parent.type !== FuseType.DIR) return -Errno.ENOTDIR;
  const { nodes } = share;
  let node: Node;
  const dots = dotsIn(name);
  if (dots === 0) {
    const found = nodes.lookup(parent, name);
    if (found === -Errno.ENOENT && share.missingMs > 0) return putNobody(share, request);
    if (typeof found === "number") return found;
    node = found;
  } else {
    // The parent of a directory is not known here, and drivers are not promised one.
    if (dots === 2 && parent.id !== FUSE_ROOT_ID) return -Errno.EINVAL;
    parent.stat = share.files.stat(parent.inode);
    node = nodes.reference(parent);
  }
  putEntry(request.reply, 0, node.id, node.stat, share.validMs);
  return FuseEntryOut.sizeof;
}

/** U17: there is no such name, which the guest may cache. */
function putNobody(share: Share, request: FuseRequest): number {
  const { reply, replyBytes } = request;
  replyBytes.fill(0, 0, FuseEntryOut.sizeof);
  putValid(reply, FuseEntryOut.entry_valid, FuseEntryOut.entry_valid_nsec, share.missingMs);
  return FuseEntryOut.sizeof;
}

function getattr(share: Share, request: FuseRequest, node: Node): number {
  const { arguments: input, reply } = request;
  const flags = input.getUint32(FuseGetattrIn.getattr_flags, true);
  if ((flags & FUSE_GETATTR_FH) !== 0) {
    const fh = getU64(input, FuseGetattrIn.fh);
    if (share.handles.get(fh, node.id) === undefined) return -Errno.EBADF;
  }
  share.window?.writeBack(node);
  return putAttributes(reply, share.files.stat(node.inode), share.validMs);
}

/** The guest resolves the text itself, within the share; the server never does (W11). */
function readlink(_share: Share, request: FuseRequest, node: Node): number {
  if (node.type !== FuseType.LNK) return -Errno.EINVAL;
  if (node.target.length > request.room) return -Errno.EINVAL;
  request.replyBytes.set(node.target);
  return node.target.length;
}

function open(share: Share, request: FuseRequest, node: Node): number {
  const { changes } = share;
  const flags = request.arguments.getUint32(FuseOpenIn.flags, true);
  const cuts = (flags & FUSE_O_TRUNC) !== 0;
  if (changes === null && (cuts || (flags & FUSE_O_ACCMODE) !== FUSE_O_RDONLY)) {
    return -Errno.EROFS;
  }
  const handle = share.handles.open(node, false, flags);
  if (typeof handle === "number") return handle;
  if (changes !== null && cuts) {
    orUndo(
      () => share.empty(changes, node),
      () => share.handles.release(handle),
    );
  }
  return putOpen(request.reply, 0, handle.id);
}

function opendir(share: Share, request: FuseRequest, node: Node): number {
  const handle = share.handles.open(node, true);
  return typeof handle === "number" ? handle : putOpen(request.reply, 0, handle.id);
}

/** The host reads straight into the guest's pages, after the header. */
function read(share: Share, request: FuseRequest, node: Node): number {
  const { arguments: input } = request;
  const handle = share.handles.get(getU64(input, FuseReadIn.fh), node.id);
  if (handle === undefined) return -Errno.EBADF;
  if (handle.file === null) return -Errno.EISDIR;
  const size = input.getUint32(FuseReadIn.size, true);
  let offset: number | bigint = getU64(input, FuseReadIn.offset);
  // A truncated answer would look like the end of the file.
  if (size > request.room || size > DATA_BYTES_MAX) return -Errno.EINVAL;
  if (offset > OFFSET_EXACT_MAX) {
    offset = input.getBigUint64(FuseReadIn.offset, true);
    if (offset > OFFSET_MAX - BigInt(size)) return -Errno.EINVAL;
  }
  if (size === 0) return 0;
  share.window?.writeBack(node);
  const background = share.slow?.background;
  if (background?.wanted === true) {
    background.read(request, handle.file, size, offset);
    return 0;
  }
  const views = request.chain.writable(FuseOutHeader.sizeof, size);
  request.inPlace = true;
  const got = share.files.read(handle.file.descriptor, views, offset);
  share.stats.bytesRead += got;
  return got;
}

function statfs(share: Share, request: FuseRequest, node: Node): number {
  request.replyBytes.fill(0, 0, FuseStatfsOut.sizeof);
  putStatfs(request.reply, 0, share.files.statfs(node.inode));
  return FuseStatfsOut.sizeof;
}

function release(directory: boolean): Serve {
  return (share, request, node) => {
    const fh = getU64(request.arguments, FuseReleaseIn.fh);
    const handle = share.handles.get(fh, node.id, directory);
    if (handle === undefined) return -Errno.EBADF;
    const status = directory ? 0 : share.writeBack(node);
    share.handles.release(handle);
    share.settle(node);
    return status;
  };
}

function readdir(plus: boolean): Serve {
  return (share, request, node) => {
    const { arguments: input, reply: view, replyBytes: bytes } = request;
    const handle = share.handles.get(getU64(input, FuseReadIn.fh), node.id, true);
    if (handle === undefined) return -Errno.EBADF;
    const size = input.getUint32(FuseReadIn.size, true);
    if (size > request.room) return -Errno.EINVAL;
    const cookie = getU64(input, FuseReadIn.offset);
    const sinceNs = share.now();
    const overdue = () => share.slow?.background.stalled(sinceNs) === true;
    if (cookie === 0) share.handles.list(handle);
    const reply = { bytes, view, capacity: Math.min(size, REPLY_BYTES_MAX) };
    const validMs = plus ? share.validMs : null;
    return putEntries(reply, handle, cookie, share.files, share.nodes, validMs, overdue);
  };
}

function access(share: Share, request: FuseRequest, node: Node): number {
  const mask = request.arguments.getUint32(FuseAccessIn.mask, true);
  if (mask > 7) return -Errno.EINVAL;
  if ((mask & FUSE_W_OK) !== 0 && share.changes === null) return -Errno.EROFS;
  share.files.access(node.inode, mask);
  return 0;
}

/** Node cannot find holes, so everything up to the end is data, which is a legal answer. */
function lseek(share: Share, request: FuseRequest, node: Node): number {
  const { arguments: input, reply } = request;
  const handle = share.handles.get(getU64(input, FuseLseekIn.fh), node.id, false);
  if (handle === undefined) return -Errno.EBADF;
  const whence = input.getUint32(FuseLseekIn.whence, true);
  if (whence !== FUSE_SEEK_DATA && whence !== FUSE_SEEK_HOLE) return -Errno.EINVAL;
  const offset = input.getBigUint64(FuseLseekIn.offset, true);
  const { size } = share.files.stat(node.inode);
  if (offset >= size) return -Errno.ENXIO;
  reply.setBigUint64(FuseLseekOut.offset, whence === FUSE_SEEK_DATA ? offset : size, true);
  return FuseLseekOut.sizeof;
}
