// File calls that make, move and remove names. What they change the cache of nodes knows at once; a
// directory that was moved is looked up again under its new name, and so is all below it.
import { Errno } from "../../abi/errno";
import { FuseEntryOut, FuseOpcode, FuseType } from "../../abi/fuse";
import {
  FUSE_RENAME_NOREPLACE,
  FuseLinkIn,
  FuseMkdirIn,
  FuseRename2In,
  FuseRenameIn,
} from "../../abi/fuse-write";
import { argumentsOf, FsRequest } from "../../drivers/fs/driver";
import { transact } from "../../drivers/fs/transact";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { makeEntry, putName } from "./make";
import {
  expire,
  findChild,
  hashName,
  isDirectory,
  letGo,
  Node,
  NO_NODE,
  remove,
  removeChildren,
  Session,
  typeOf,
} from "./node";
import { beginPath, pathError, placeOf } from "./path";
import { endCall } from "./request";
import { hasNul, lookUp, readLink } from "./session";
import { Last, skipSlashes, Walk, walk } from "./walk";

/** For SysRename: what is there already stays. */
export const RENAME_NOREPLACE: u32 = FUSE_RENAME_NOREPLACE;
const MODE_BITS: u32 = 0o7777;
/** Text of a symbolic link, its NUL among it. */
const LINK_BYTES_MAX: u32 = 4096;
const ENTRY: u32 = FuseEntryOut.sizeof;

/**
 * Makes a directory with the permissions `mode`. Yields. Returns 0, -EEXIST, -EROFS, -ENOSPC or an
 * error as of SysStatFile.
 */
export function SysCreateDir(path: usize, pathBytes: u32, mode: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Parent);
  if (!request) return pathError();
  let status: i32 = -Errno.EEXIST;
  if (request.last == Last.Name) {
    const head = <u32>FuseMkdirIn.sizeof;
    store<u32>(putName(request, head), mode & MODE_BITS, FuseMkdirIn.mode);
    status = makeEntry(request, FuseOpcode.MKDIR, head, ENTRY, FuseType.DIR, 0, 0);
  }
  endCall(request);
  return status;
}

/**
 * Makes a symbolic link at the path, with the text `target`, which nobody looks at before the link
 * is followed. Yields. Returns 0; -ENOENT (also: an empty text), -EINVAL (a NUL), -ENAMETOOLONG
 * (also: a text of 4096 bytes), -EEXIST, -EROFS, -ENOSPC or an error as of SysStatFile.
 */
export function SysSymlink(target: usize, targetBytes: u32, path: usize, pathBytes: u32): i32 {
  if (targetBytes == 0) return -Errno.ENOENT;
  if (targetBytes >= LINK_BYTES_MAX) return -Errno.ENAMETOOLONG;
  if (hasNul(target, targetBytes)) return -Errno.EINVAL;
  const request = beginPath(path, pathBytes, Walk.Parent);
  if (!request) return pathError();
  let status = refusal(request, false);
  if (status == 0) status = sendSymlink(request, target, targetBytes);
  endCall(request);
  return status;
}

function sendSymlink(request: FsRequest, target: usize, targetBytes: u32): i32 {
  const text = ToroGetMem(targetBytes + 1);
  if (text == 0) return -Errno.ENOMEM;
  memory.copy(text, target, targetBytes);
  store<u8>(text + targetBytes, 0);
  putName(request, 0);
  const opcode = FuseOpcode.SYMLINK;
  const status = makeEntry(request, opcode, 0, ENTRY, FuseType.LNK, text, targetBytes + 1);
  ToroFreeMem(text);
  return status;
}

/** Why no file can be made under the last name, as far as that is known here; or 0. Yields. */
function refusal(request: FsRequest, look: bool): i32 {
  if (request.last != Last.Name) return -Errno.EEXIST;
  if (!request.slash && !look) return 0;
  const found = childOf(request);
  if (found == NO_NODE) return missing != -Errno.ENOENT || request.slash ? missing : 0;
  letGo(found);
  return -Errno.EEXIST;
}

let missing: i32 = 0;

/**
 * The node under the last name, held; the request stands on the directory as before. Yields. Null:
 * `missing` says why.
 */
function childOf(request: FsRequest): Node {
  const directory = request.node;
  const found = lookUp(request, changetype<Node>(directory), request.name, request.nameBytes);
  missing = found;
  if (found < 0) return NO_NODE;
  const child = changetype<Node>(request.node);
  request.node = directory;
  return child;
}

/**
 * Copies the text of the symbolic link at the path to `buffer`, as much of it as fits. Yields.
 * Returns its bytes, -EINVAL (not a symbolic link, or no room) or an error as of SysStatFile.
 */
export function SysReadLink(path: usize, pathBytes: u32, buffer: usize, length: u32): i32 {
  if (length == 0) return -Errno.EINVAL;
  const request = beginPath(path, pathBytes, Walk.Stay);
  if (!request) return pathError();
  const node = changetype<Node>(request.node);
  let got: i32 = -Errno.EINVAL;
  if (typeOf(node) == FuseType.LNK) got = readLink(request, node);
  if (got == 0) {
    got = min(length, node.targetBytes);
    memory.copy(buffer, node.target, got);
  }
  endCall(request);
  return got;
}

/**
 * Gives the file at `from` a second name, `to`; a symbolic link at the end of `from` is linked
 * itself. Yields. Returns 0; -EPERM (a directory), -EXDEV (another file system), -EEXIST, -EROFS or
 * an error as of SysStatFile.
 */
export function SysLink(from: usize, fromBytes: u32, to: usize, toBytes: u32): i32 {
  const status = linkOnce(from, fromBytes, to, toBytes);
  // The server links by the name that it saw last, which may be another one of the file, and gone.
  return status == -Errno.ENOENT ? linkOnce(from, fromBytes, to, toBytes) : status;
}

/** Behind -ENOENT the source will be looked up again. Yields. */
function linkOnce(from: usize, fromBytes: u32, to: usize, toBytes: u32): i32 {
  const target = placeOf(to, toBytes);
  if (changetype<usize>(target) == 0) return pathError();
  const session = target.session;
  const rest = target.rest;
  const request = beginPath(from, fromBytes, Walk.Stay);
  if (!request) return pathError();
  const source = leave(request);
  let status: i32 = -Errno.EXDEV;
  if (isRoot(rest, to + toBytes)) {
    status = -Errno.EEXIST;
  } else if (source.session == session) {
    status = walk(request, session, rest, to + toBytes, Walk.Parent);
    if (status == 0) status = refusal(request, isDirectory(source));
    if (status == 0) status = isDirectory(source) ? -Errno.EPERM : sendLink(request, source);
  }
  letGo(source);
  endCall(request);
  return status;
}

/** Is that the root of a mount? */
function isRoot(path: usize, end: usize): bool {
  return skipSlashes(path, end) == end;
}

/** Takes what the request stands on, held, away from it. */
function leave(request: FsRequest): Node {
  const node = changetype<Node>(request.node);
  request.node = 0;
  return node;
}

function sendLink(request: FsRequest, source: Node): i32 {
  const head = <u32>FuseLinkIn.sizeof;
  store<u64>(putName(request, head), source.nodeid, FuseLinkIn.oldnodeid);
  const status = makeEntry(request, FuseOpcode.LINK, head, ENTRY, typeOf(source), 0, 0);
  if (status == -Errno.ENOENT) source.entryUntilNs = 0;
  if (status < 0) return status;
  const made = changetype<Node>(request.node);
  if (made.nodeid == source.nodeid) return 0;
  if (made.hashed) remove(made); // D15: that is another file
  return -Errno.EIO;
}

/**
 * Removes a name of a file, and the file with its last one, once nobody has it open. Yields.
 * Returns 0, -EISDIR (a directory), -EROFS or an error as of SysStatFile.
 */
export function SysUnlink(path: usize, pathBytes: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Parent);
  if (!request) return pathError();
  let status: i32 = -Errno.EISDIR;
  if (request.last == Last.Name) status = removeName(request, FuseOpcode.UNLINK);
  endCall(request);
  return status;
}

/**
 * Removes an empty directory. Yields. Returns 0, -ENOTEMPTY (also: a path that ends in ".."),
 * -EINVAL (one that ends in "."), -EBUSY (a mount's root), -ENOTDIR, -EROFS or an error as of
 * SysStatFile.
 */
export function SysRemoveDir(path: usize, pathBytes: u32): i32 {
  const request = beginPath(path, pathBytes, Walk.Parent);
  if (!request) return pathError();
  let status: i32 = -Errno.EBUSY;
  if (request.last == Last.Dot) status = -Errno.EINVAL;
  else if (request.last == Last.DotDot) status = -Errno.ENOTEMPTY;
  else if (request.last == Last.Name) status = removeName(request, FuseOpcode.RMDIR);
  endCall(request);
  return status;
}

function removeName(request: FsRequest, opcode: FuseOpcode): i32 {
  const child = childOf(request);
  if (child == NO_NODE) return missing;
  let status: i32 = 0;
  const directory = isDirectory(child);
  if (opcode == FuseOpcode.UNLINK && directory) status = -Errno.EISDIR;
  else if (!directory && (opcode == FuseOpcode.RMDIR || request.slash)) status = -Errno.ENOTDIR;
  if (status == 0) {
    const parent = changetype<Node>(request.node);
    putName(request, 0);
    status = transact(request, opcode, parent.nodeid, request.nameBytes + 1, 0, 0, 0);
    parent.session.version++;
    expire(parent);
    expire(child);
    endName(parent, request.name, request.nameBytes, status == 0);
  }
  letGo(child);
  return status;
}

/**
 * What is known under the name by now ends with it; where it has not `gone`, as far as the server
 * says, it is to be looked at again.
 */
function endName(parent: Node, name: usize, bytes: u32, gone: bool): void {
  const known = findChild(parent, hashName(parent, name, bytes), name, bytes);
  if (known == NO_NODE) return;
  expire(known);
  known.entryUntilNs = 0;
  if (!gone) return;
  removeChildren(known);
  remove(known);
}

/**
 * Moves what is at `from` to `to`, in place of what is there unless RENAME_NOREPLACE is in `flags`;
 * symbolic links are moved themselves. Yields. Returns 0; -EXDEV (another file system), -EBUSY (a
 * mount's root, or a path that ends in dots), -EEXIST, -EINVAL (a directory into itself, or flags
 * that the host does not have), -ENOTEMPTY, -EISDIR, -ENOTDIR, -EROFS or an error as of
 * SysStatFile.
 */
export function SysRename(
  from: usize,
  fromBytes: u32,
  to: usize,
  toBytes: u32,
  flags: u32,
): i32 {
  if ((flags & ~RENAME_NOREPLACE) != 0) return -Errno.EINVAL;
  const target = placeOf(to, toBytes);
  if (changetype<usize>(target) == 0) return pathError();
  const session = target.session;
  const rest = target.rest;
  const request = beginPath(from, fromBytes, Walk.Parent);
  if (!request) return pathError();
  const occupied: i32 = flags != 0 ? -Errno.EEXIST : -Errno.EBUSY;
  let status: i32 = -Errno.EXDEV;
  if (request.last == Last.Root) status = -Errno.EBUSY;
  else if (isRoot(rest, to + toBytes)) status = occupied;
  else if (changetype<Node>(request.node).session == session) {
    status = rename(request, session, rest, to + toBytes, flags);
  }
  endCall(request);
  return status;
}

/** From where the request stands. Yields. */
function rename(request: FsRequest, session: Session, to: usize, end: usize, flags: u32): i32 {
  const last = request.last;
  const slash = request.slash;
  const bytes = request.nameBytes;
  const name = ToroGetMem(bytes + 1); // the second walk may need where it is now
  if (name == 0) return -Errno.ENOMEM;
  if (last == Last.Name) memory.copy(name, request.name, bytes);
  const parent = leave(request);
  let status = walk(request, session, to, end, Walk.Parent);
  if (status == 0) {
    if (last != Last.Name) status = -Errno.EBUSY;
    else if (request.last != Last.Name) status = flags != 0 ? -Errno.EEXIST : -Errno.EBUSY;
    else status = move(request, parent, name, bytes, slash, flags);
  }
  letGo(parent);
  ToroFreeMem(name);
  return status;
}

/** Moves `name` of `from` to the last name of the directory on which the request stands. Yields. */
function move(
  request: FsRequest,
  from: Node,
  name: usize,
  bytes: u32,
  slash: bool,
  flags: u32,
): i32 {
  const directory = request.node;
  const found = lookUp(request, from, name, bytes);
  if (found < 0) return found;
  const source = changetype<Node>(request.node);
  request.node = directory;
  const victim = childOf(request);
  let status: i32 = 0;
  if (victim == NO_NODE && missing != -Errno.ENOENT) status = missing;
  else if (victim != NO_NODE && flags != 0) status = -Errno.EEXIST;
  else if ((slash || request.slash) && !isDirectory(source)) status = -Errno.ENOTDIR;
  else status = sendRename(request, from, name, bytes, flags);
  expire(source);
  if (victim != NO_NODE) {
    expire(victim);
    letGo(victim);
  }
  letGo(source);
  return status;
}

function sendRename(request: FsRequest, from: Node, name: usize, bytes: u32, flags: u32): i32 {
  const to = changetype<Node>(request.node);
  const head = flags == 0 ? <u32>FuseRenameIn.sizeof : <u32>FuseRename2In.sizeof;
  const all = head + bytes + 1 + request.nameBytes + 1;
  const input = argumentsOf(request, all);
  store<u64>(input, to.nodeid, FuseRenameIn.newdir);
  if (flags != 0) store<u32>(input, flags, FuseRename2In.flags);
  memory.copy(input + head, name, bytes);
  memory.copy(input + head + bytes + 1, request.name, request.nameBytes);
  const opcode = flags == 0 ? FuseOpcode.RENAME : FuseOpcode.RENAME2;
  const status = transact(request, opcode, from.nodeid, all, 0, 0, 0);
  from.session.version++;
  expire(from);
  expire(to);
  endName(from, name, bytes, status == 0);
  endName(to, request.name, request.nameBytes, status == 0); // also: that there was none
  return status;
}
