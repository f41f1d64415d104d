// File calls that make and remove names, and read symbolic links. The cache of nodes learns of the
// changes at once.
import { Errno } from "../../abi/errno";
import { FuseEntryOut, FuseOpcode, FuseType } from "../../abi/fuse";
import { FuseLinkIn, FuseMkdirIn } from "../../abi/fuse-write";
import { attachBuffer, transact } from "../fuse/request";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { Call, callAt, endCall, Last, takeFound, takeNode } from "./call";
import { lookUp, readLink } from "./lookup";
import { makeEntry, prepareName } from "./make";
import { findMount, restAfter } from "./mount";
import { FileSystem, isDirectory, Node, NO_NODE, typeOf } from "./node";
import { beginPath, refuse } from "./path";
import { expire, findChild, hashName, letGo, remove, removeChildren } from "./table";
import { hasNul, isEmpty } from "./text";
import { Walk, walk } from "./walk";

const MODE_BITS: u32 = 0o7777;
/** Text of a symbolic link, including its NUL. */
const LINK_BYTES_MAX: u32 = 4096;

/**
 * Makes a directory with the permissions `mode`. Yields. Returns 0, -EEXIST, -EROFS, -ENOSPC or an
 * error as of SysStatFile.
 */
export function SysCreateDir(path: usize, pathBytes: u32, mode: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Parent);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  let status: i32 = -Errno.EEXIST;
  if (call.last == Last.Name) {
    const input = prepareName(call, FuseOpcode.MKDIR, FuseMkdirIn.sizeof);
    store<u32>(input, mode & MODE_BITS, FuseMkdirIn.mode);
    call.request.replyBytes = FuseEntryOut.sizeof;
    status = makeEntry(call, FuseType.DIR);
  }
  endCall(call);
  return status;
}

/**
 * Makes a symbolic link at the path, with the text `target`, which is not looked at before the link
 * is followed. Yields. Returns 0; -ENOENT (also: an empty text), -EINVAL (a NUL), -ENAMETOOLONG
 * (also: a text of 4096 bytes), -EEXIST, -EROFS, -ENOSPC or an error as of SysStatFile.
 */
export function SysSymlink(target: usize, targetBytes: u32, path: usize, pathBytes: u32): i32 {
  if (targetBytes == 0) return -Errno.ENOENT;
  if (targetBytes >= LINK_BYTES_MAX) return -Errno.ENAMETOOLONG;
  if (hasNul(target, targetBytes)) return -Errno.EINVAL;
  const begun = beginPath(path, pathBytes, Walk.Parent);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  let status = refuseName(call, false);
  if (status == 0) status = sendSymlink(call, target, targetBytes);
  endCall(call);
  return status;
}

function sendSymlink(call: Call, target: usize, targetBytes: u32): i32 {
  assert(targetBytes != 0 && targetBytes < LINK_BYTES_MAX, "fs: too long");
  const text = ToroGetMem(targetBytes + 1);
  if (text == 0) return -Errno.ENOMEM;
  memory.copy(text, target, targetBytes);
  store<u8>(text + targetBytes, 0);
  prepareName(call, FuseOpcode.SYMLINK, 0);
  attachBuffer(call.request, text, targetBytes + 1, true);
  call.request.replyBytes = FuseEntryOut.sizeof;
  const status = makeEntry(call, FuseType.LNK);
  ToroFreeMem(text);
  return status;
}

/** Looks up the last name of the call's path. Yields. Returns 0 with the node in call.found. */
export function lookUpLast(call: Call): i32 {
  assert(call.last == Last.Name, "fs: no name");
  return lookUp(call, call.node, call.name, call.nameBytes);
}

/** Why no file can be made under the last name, if that is known here; or 0. Yields. */
function refuseName(call: Call, look: bool): i32 {
  if (call.last != Last.Name) return -Errno.EEXIST;
  if (!call.slash && !look) return 0;
  const status = lookUpLast(call);
  if (status < 0) return status != -Errno.ENOENT || call.slash ? status : 0;
  letGo(takeFound(call));
  return -Errno.EEXIST;
}

/**
 * Copies the text of the symbolic link at the path to `buffer`, as much of it as fits. Yields.
 * Returns its bytes, -EINVAL (not a symbolic link, or no room) or an error as of SysStatFile.
 */
export function SysReadLink(path: usize, pathBytes: u32, buffer: usize, length: u32): i32 {
  if (length == 0) return -Errno.EINVAL;
  const begun = beginPath(path, pathBytes, Walk.Stay);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const node = call.node;
  let got: i32 = -Errno.EINVAL;
  if (typeOf(node) == FuseType.LNK) got = readLink(call.request, node);
  if (got == 0) {
    assert(node.target != 0 && node.targetBytes != 0, "fs: empty");
    got = min(length, node.targetBytes);
    memory.copy(buffer, node.target, got);
  }
  endCall(call);
  return got;
}

/**
 * Gives the file at `from` a second name, `to`; a symbolic link at the end of `from` is linked
 * itself. Yields. Returns 0; -EPERM (a directory), -EXDEV (another file system), -EEXIST, -EROFS or
 * an error as of SysStatFile.
 */
export function SysLink(from: usize, fromBytes: u32, to: usize, toBytes: u32): i32 {
  const status = linkOnce(from, fromBytes, to, toBytes);
  // The server links by the name that it saw last: another name of the file, which may be gone.
  return status == -Errno.ENOENT ? linkOnce(from, fromBytes, to, toBytes) : status;
}

/** After -ENOENT the source will be looked up again. Yields. */
function linkOnce(from: usize, fromBytes: u32, to: usize, toBytes: u32): i32 {
  const end = to + toBytes;
  const mount = findMount(to, end);
  const refused = refuse(mount, toBytes);
  if (refused < 0) return refused;
  const begun = beginPath(from, fromBytes, Walk.Stay);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const source = takeNode(call);
  const status = linkTo(call, source, mount.fs, restAfter(mount, to, end), end);
  letGo(source);
  endCall(call);
  return status;
}

function linkTo(call: Call, source: Node, fs: FileSystem, to: usize, end: usize): i32 {
  assert(source.uses != 0, "fs: not held");
  if (isEmpty(to, end)) return -Errno.EEXIST; // the root of a mount
  if (source.fs != fs) return -Errno.EXDEV;
  let status = walk(call, fs, to, end, Walk.Parent);
  if (status == 0) status = refuseName(call, isDirectory(source));
  if (status < 0) return status;
  return isDirectory(source) ? -Errno.EPERM : sendLink(call, source);
}

function sendLink(call: Call, source: Node): i32 {
  const input = prepareName(call, FuseOpcode.LINK, FuseLinkIn.sizeof);
  store<u64>(input, source.nodeid, FuseLinkIn.oldnodeid);
  call.request.replyBytes = FuseEntryOut.sizeof;
  const status = makeEntry(call, typeOf(source));
  if (status == -Errno.ENOENT) source.entryUntilNs = 0;
  if (status < 0) return status;
  const made = call.node;
  if (made.nodeid == source.nodeid) return 0;
  if (made.hashed) remove(made); // D15: that is another file
  return -Errno.EIO;
}

/**
 * Removes a name of a file, and the file with its last name, once nobody has it open. Yields.
 * Returns 0, -EISDIR (a directory), -EROFS or an error as of SysStatFile.
 */
export function SysUnlink(path: usize, pathBytes: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Parent);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  let status: i32 = -Errno.EISDIR;
  if (call.last == Last.Name) status = removeName(call, FuseOpcode.UNLINK);
  endCall(call);
  return status;
}

/**
 * Removes an empty directory. Yields. Returns 0, -ENOTEMPTY (also: a path that ends in ".."),
 * -EINVAL (one that ends in "."), -EBUSY (a mount's root), -ENOTDIR, -EROFS or an error as of
 * SysStatFile.
 */
export function SysRemoveDir(path: usize, pathBytes: u32): i32 {
  const begun = beginPath(path, pathBytes, Walk.Parent);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  let status: i32 = -Errno.EBUSY;
  if (call.last == Last.Dot) status = -Errno.EINVAL;
  else if (call.last == Last.DotDot) status = -Errno.ENOTEMPTY;
  else if (call.last == Last.Name) status = removeName(call, FuseOpcode.RMDIR);
  endCall(call);
  return status;
}

function removeName(call: Call, opcode: FuseOpcode): i32 {
  assert(opcode == FuseOpcode.UNLINK || opcode == FuseOpcode.RMDIR, "fs: wrong type");
  const found = lookUpLast(call);
  if (found < 0) return found;
  const child = takeFound(call);
  const parent = call.node;
  const directory = isDirectory(child);
  let status: i32 = 0;
  if (opcode == FuseOpcode.UNLINK && directory) status = -Errno.EISDIR;
  else if (!directory && (opcode == FuseOpcode.RMDIR || call.slash)) status = -Errno.ENOTDIR;
  if (status == 0) {
    prepareName(call, opcode, 0);
    status = transact(call.request);
    call.fs.version++;
    expire(parent);
    expire(child);
    endName(parent, call.name, call.nameBytes, status == 0);
  }
  letGo(child);
  return status;
}

/**
 * Ends a name in the cache, whatever node it has by now. If the server has not confirmed that it is
 * `gone`, it is only looked up again.
 */
export function endName(parent: Node, name: usize, bytes: u32, gone: bool): void {
  assert(parent.uses != 0, "fs: not held");
  const known = findChild(parent, hashName(parent, name, bytes), name, bytes);
  if (known == NO_NODE) return;
  expire(known);
  known.entryUntilNs = 0;
  if (!gone) return;
  removeChildren(known);
  remove(known);
}
