// One function per FUSE operation. The server has checked that the node exists, that the arguments
// are there and that the fixed part of the reply fits; each function checks the rest.
import { Errno } from "../../../drivers/abi/errno.ts";
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
  FuseFlushIn,
  FuseFsyncIn,
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
} from "../../../drivers/abi/fuse.ts";
import { getU64, putAttr, putEntry, putStatfs, putU64, putValid } from "./attributes.ts";
import { putEntries } from "./directory.ts";
import type { Node } from "./nodes.ts";
import { DATA_BYTES_MAX, type FuseRequest, REPLY_BYTES_MAX } from "./request.ts";
import type { FuseServer } from "./server.ts";

/** Returns bytes of reply or -Errno; may throw what file calls throw. */
type Serve = (server: FuseServer, request: FuseRequest, node: Node) => number;

interface Operation {
  /** The least there must be. */
  readonly argumentBytes: number;
  /** The fixed part of the reply. */
  readonly replyBytes: number;
  readonly serve: Serve;
}

const OFFSET_MAX = 0x7fffffffffffffffn;
/** Up to here an offset is a number; with DATA_BYTES_MAX added to it, it still is one. */
const OFFSET_EXACT_MAX = 2 ** 52;

/** What this server knows. FORGET, INTERRUPT, INIT and DESTROY are not here: they need no node. */
export const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  define(FuseOpcode.LOOKUP, 2, FuseEntryOut.sizeof, lookup),
  define(FuseOpcode.GETATTR, FuseGetattrIn.sizeof, FuseAttrOut.sizeof, getattr),
  define(FuseOpcode.READLINK, 0, 0, readlink),
  define(FuseOpcode.OPEN, FuseOpenIn.sizeof, FuseOpenOut.sizeof, open),
  define(FuseOpcode.READ, FuseReadIn.sizeof, 0, read),
  define(FuseOpcode.STATFS, 0, FuseStatfsOut.sizeof, statfs),
  define(FuseOpcode.RELEASE, FuseReleaseIn.sizeof, 0, release(false)),
  define(FuseOpcode.FLUSH, FuseFlushIn.sizeof, 0, settled(false)),
  define(FuseOpcode.FSYNC, FuseFsyncIn.sizeof, 0, settled(false)),
  define(FuseOpcode.OPENDIR, FuseOpenIn.sizeof, FuseOpenOut.sizeof, opendir),
  define(FuseOpcode.READDIR, FuseReadIn.sizeof, 0, readdir(false)),
  define(FuseOpcode.READDIRPLUS, FuseReadIn.sizeof, 0, readdir(true)),
  define(FuseOpcode.RELEASEDIR, FuseReleaseIn.sizeof, 0, release(true)),
  define(FuseOpcode.FSYNCDIR, FuseFsyncIn.sizeof, 0, settled(true)),
  define(FuseOpcode.ACCESS, FuseAccessIn.sizeof, 0, access),
  define(FuseOpcode.LSEEK, FuseLseekIn.sizeof, FuseLseekOut.sizeof, lseek),
  ...[
    FuseOpcode.SETATTR,
    FuseOpcode.SYMLINK,
    FuseOpcode.MKNOD,
    FuseOpcode.MKDIR,
    FuseOpcode.UNLINK,
    FuseOpcode.RMDIR,
    FuseOpcode.RENAME,
    FuseOpcode.LINK,
    FuseOpcode.WRITE,
    FuseOpcode.SETXATTR,
    FuseOpcode.REMOVEXATTR,
    FuseOpcode.CREATE,
    FuseOpcode.FALLOCATE,
    FuseOpcode.RENAME2,
    FuseOpcode.COPY_FILE_RANGE,
    FuseOpcode.TMPFILE,
    FuseOpcode.COPY_FILE_RANGE_64,
  ].map((opcode) => define(opcode, 0, 0, () => -Errno.EROFS)),
]);

function define(
  opcode: number,
  argumentBytes: number,
  replyBytes: number,
  serve: Serve,
): [number, Operation] {
  return [opcode, { argumentBytes, replyBytes, serve }];
}

/** U8: "." and the root's ".." are the node itself; above the root there is nothing. */
function lookup(server: FuseServer, request: FuseRequest, parent: Node): number {
  const name = request.name(0);
  if (typeof name === "number") return name;
  if (parent.type !== FuseType.DIR) return -Errno.ENOTDIR;
  const { nodes } = server;
  let node: Node;
  let stat = nodes.stat;
  const dots = dotsIn(name);
  if (dots === 0) {
    const found = nodes.lookup(parent, name);
    if (typeof found === "number") return found;
    node = found;
    stat = nodes.stat;
  } else {
    // Nothing that we know of a directory tells its parent, and no driver of ours is promised one.
    if (dots === 2 && parent.id !== FUSE_ROOT_ID) return -Errno.EINVAL;
    stat = server.files.stat(parent.inode);
    node = nodes.reference(parent);
  }
  putEntry(request.reply, 0, node.id, stat, server.validMs);
  return FuseEntryOut.sizeof;
}

function getattr(server: FuseServer, request: FuseRequest, node: Node): number {
  const { arguments: input, reply } = request;
  const flags = input.getUint32(FuseGetattrIn.getattr_flags, true);
  if ((flags & FUSE_GETATTR_FH) !== 0) {
    const fh = getU64(input, FuseGetattrIn.fh);
    if (server.handles.get(fh, node.id) === undefined) return -Errno.EBADF;
  }
  putValid(reply, FuseAttrOut.attr_valid, FuseAttrOut.attr_valid_nsec, server.validMs);
  reply.setUint32(FuseAttrOut.attr_valid_nsec + 4, 0, true);
  putAttr(reply, FuseAttrOut.attr, server.files.stat(node.inode));
  return FuseAttrOut.sizeof;
}

/**
 * The guest gets the text and resolves it by itself, inside the share; the server never does (W11).
 */
function readlink(_server: FuseServer, request: FuseRequest, node: Node): number {
  if (node.type !== FuseType.LNK) return -Errno.EINVAL;
  if (node.target.length > request.room) return -Errno.EINVAL;
  request.replyBytes.set(node.target);
  return node.target.length;
}

function open(server: FuseServer, request: FuseRequest, node: Node): number {
  const flags = request.arguments.getUint32(FuseOpenIn.flags, true);
  if ((flags & FUSE_O_ACCMODE) !== FUSE_O_RDONLY || (flags & FUSE_O_TRUNC) !== 0) {
    return -Errno.EROFS;
  }
  return openAs(server, request, node, false);
}

function opendir(server: FuseServer, request: FuseRequest, node: Node): number {
  return openAs(server, request, node, true);
}

function openAs(server: FuseServer, request: FuseRequest, node: Node, directory: boolean): number {
  const handle = server.handles.open(node, directory);
  if (typeof handle === "number") return handle;
  putU64(request.reply, FuseOpenOut.fh, handle.id);
  putU64(request.reply, FuseOpenOut.open_flags, 0);
  return FuseOpenOut.sizeof;
}

/** The host reads straight into the guest's pages, behind the header. */
function read(server: FuseServer, request: FuseRequest, node: Node): number {
  const { arguments: input } = request;
  const handle = server.handles.get(getU64(input, FuseReadIn.fh), node.id);
  if (handle === undefined) return -Errno.EBADF;
  if (handle.file === null) return -Errno.EISDIR;
  const size = input.getUint32(FuseReadIn.size, true);
  let offset: number | bigint = getU64(input, FuseReadIn.offset);
  // Cut to what fits, the answer would look like the end of the file.
  if (size > request.room || size > DATA_BYTES_MAX) return -Errno.EINVAL;
  if (offset > OFFSET_EXACT_MAX) {
    offset = input.getBigUint64(FuseReadIn.offset, true);
    if (offset > OFFSET_MAX - BigInt(size)) return -Errno.EINVAL;
  }
  if (size === 0) return 0;
  const views = request.chain.writable(FuseOutHeader.sizeof, size);
  request.inPlace = true;
  return server.files.read(handle.file.descriptor, views, offset);
}

function statfs(server: FuseServer, request: FuseRequest, node: Node): number {
  request.replyBytes.fill(0, 0, FuseStatfsOut.sizeof);
  putStatfs(request.reply, 0, server.files.statfs(node.inode));
  return FuseStatfsOut.sizeof;
}

function release(directory: boolean): Serve {
  return (server, request, node) => {
    const fh = getU64(request.arguments, FuseReleaseIn.fh);
    const handle = server.handles.get(fh, node.id, directory);
    if (handle === undefined) return -Errno.EBADF;
    server.handles.release(handle);
    server.settle(node);
    return 0;
  };
}

/** FLUSH and FSYNC of what was never written: done, if there is such a handle. */
function settled(directory: boolean): Serve {
  return (server, request, node) => {
    const fh = getU64(request.arguments, FuseFsyncIn.fh);
    return server.handles.get(fh, node.id, directory) === undefined ? -Errno.EBADF : 0;
  };
}

function readdir(plus: boolean): Serve {
  return (server, request, node) => {
    const { arguments: input, reply: view, replyBytes: bytes } = request;
    const handle = server.handles.get(getU64(input, FuseReadIn.fh), node.id, true);
    if (handle === undefined) return -Errno.EBADF;
    const size = input.getUint32(FuseReadIn.size, true);
    if (size > request.room) return -Errno.EINVAL;
    const cookie = getU64(input, FuseReadIn.offset);
    if (cookie === 0) {
      const listed = server.handles.list(handle);
      if (listed < 0) return listed;
    }
    const reply = { bytes, view, capacity: Math.min(size, REPLY_BYTES_MAX) };
    const validMs = plus ? server.validMs : null;
    return putEntries(reply, handle, cookie, server.files, server.nodes, validMs);
  };
}

function access(server: FuseServer, request: FuseRequest, node: Node): number {
  const mask = request.arguments.getUint32(FuseAccessIn.mask, true);
  if (mask > 7) return -Errno.EINVAL;
  if ((mask & FUSE_W_OK) !== 0) return -Errno.EROFS;
  server.files.access(node.inode, mask);
  return 0;
}

/** Holes cannot be seen from here: all is data up to the end, which is a legal answer. */
function lseek(server: FuseServer, request: FuseRequest, node: Node): number {
  const { arguments: input, reply } = request;
  const handle = server.handles.get(getU64(input, FuseLseekIn.fh), node.id, false);
  if (handle === undefined) return -Errno.EBADF;
  const whence = input.getUint32(FuseLseekIn.whence, true);
  if (whence !== FUSE_SEEK_DATA && whence !== FUSE_SEEK_HOLE) return -Errno.EINVAL;
  const offset = input.getBigUint64(FuseLseekIn.offset, true);
  const { size } = server.files.stat(node.inode);
  if (offset >= size) return -Errno.ENXIO;
  reply.setBigUint64(FuseLseekOut.offset, whence === FUSE_SEEK_DATA ? offset : size, true);
  return FuseLseekOut.sizeof;
}

/** 1 for ".", 2 for "..", else 0. */
function dotsIn(name: Uint8Array): number {
  if (name.length > 2 || name[0] !== 0x2e) return 0;
  if (name.length === 1) return 1;
  return name[1] === 0x2e ? 2 : 0;
}
