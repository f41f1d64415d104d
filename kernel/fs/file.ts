// Open files as data, and the requests on them: OPEN, READ, READDIR, RELEASE.
import { Errno } from "../../abi/errno";
import {
  FUSE_O_ACCMODE,
  FUSE_O_APPEND,
  FUSE_O_RDONLY,
  FUSE_O_SYNC,
  FUSE_O_WRONLY,
  FUSE_NAME_BYTES_MAX,
  FuseDirent,
  fuseDirentBytes,
  FuseOpcode,
  FuseOpenIn,
  FuseOpenOut,
  FuseReadIn,
  FuseReleaseIn,
} from "../../abi/fuse";
import { argumentsOf, FsRequest, replyOf } from "../../drivers/fs/driver";
import { post, transact } from "../../drivers/fs/transact";
import { nowNs } from "../clock";
import { HandleTable } from "../handle";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { unshield } from "../scheduler";
import { expire, hold, isDirectory, letGo, Node, Session } from "./node";
import { beginCall, callError, endCall, protect } from "./request";
import { getAttributes } from "./session";
import { DirectoryEntry } from "./stat";

/** Files open at a time, of all file systems. */
const OPEN_FILES_MAX: u32 = 1024;

@unmanaged
export class OpenFile {
  fh: u64; // the server's name for it
  position: u64; // of a directory: the cookie of the next entry
  node: Node; // held
  flags: u32; // those of WIRE_FLAGS
  directory: bool;
  closed: bool; // has no handle any more: the last user releases it
  uses: u32; // calls that are working on it
}

export const NO_FILE: OpenFile = changetype<OpenFile>(0);
const files = changetype<HandleTable>(memory.data(offsetof<HandleTable>()));

export function fileOf(handle: i32): OpenFile {
  return changetype<OpenFile>(files.get(handle));
}

/** Handles given out. */
export function openFiles(): u32 {
  return files.count;
}

export function sessionOf(file: OpenFile): Session {
  return file.node.session;
}

/** What the server needs to know of how a file was opened. */
export const WIRE_FLAGS: u32 = FUSE_O_ACCMODE | FUSE_O_APPEND | FUSE_O_SYNC;

export function isReadable(file: OpenFile): bool {
  return (file.flags & FUSE_O_ACCMODE) != FUSE_O_WRONLY;
}

export function isWritable(file: OpenFile): bool {
  return (file.flags & FUSE_O_ACCMODE) != FUSE_O_RDONLY;
}

export function appends(file: OpenFile): bool {
  return (file.flags & FUSE_O_APPEND) != 0;
}

/**
 * A handle for what is about to be opened, on that node or in that directory; settleFile() or
 * discardFile() follows. Returns the handle, -ENFILE or -ENOMEM.
 */
export function newFile(node: Node, flags: u32): i32 {
  if (files.count >= OPEN_FILES_MAX) return -Errno.ENFILE;
  const file = changetype<OpenFile>(ToroAllocMem(offsetof<OpenFile>()));
  if (file == NO_FILE) return -Errno.ENOMEM;
  const handle = files.add(changetype<usize>(file));
  if (handle < 0) {
    ToroFreeMem(changetype<usize>(file));
    return handle;
  }
  file.node = node;
  file.flags = flags & WIRE_FLAGS;
  return handle;
}

/** The server has opened it. */
export function settleFile(file: OpenFile, node: Node, fh: u64): void {
  hold(node);
  file.node = node;
  file.directory = isDirectory(node);
  file.fh = fh;
}

/** Takes a handle back that was never settled. */
export function discardFile(handle: i32): void {
  const file = fileOf(handle);
  files.remove(handle);
  ToroFreeMem(changetype<usize>(file));
}

/** Opens the node that the request stands on. Yields. Returns the handle or an error. */
export function openNode(request: FsRequest, flags: u32): i32 {
  const node = changetype<Node>(request.node);
  const handle = newFile(node, flags);
  if (handle < 0) return handle;
  const file = fileOf(handle);
  file.directory = isDirectory(node);
  store<u32>(argumentsOf(request, FuseOpenIn.sizeof), file.flags, FuseOpenIn.flags);
  const opcode = file.directory ? FuseOpcode.OPENDIR : FuseOpcode.OPEN;
  const reply = <u32>FuseOpenOut.sizeof;
  const got = transact(request, opcode, node.nodeid, FuseOpenIn.sizeof, reply, 0, 0);
  if (got < 0) {
    discardFile(handle);
    return got;
  }
  settleFile(file, node, load<u64>(replyOf(request), FuseOpenOut.fh));
  return handle;
}

/** Closes what this call has opened, with its own request. Yields. */
export function abandonFile(request: FsRequest, handle: i32): void {
  const file = fileOf(handle);
  const input = releaseArguments(request, file);
  transact(request, releaseOf(file), file.node.nodeid, input, 0, 0, 0);
  letGo(file.node);
  discardFile(handle);
}

function releaseArguments(request: FsRequest, file: OpenFile): u32 {
  const input = argumentsOf(request, FuseReleaseIn.sizeof);
  store<u64>(input, file.fh, FuseReleaseIn.fh);
  store<u32>(input, file.flags, FuseReleaseIn.flags);
  return FuseReleaseIn.sizeof;
}

function releaseOf(file: OpenFile): FuseOpcode {
  return file.directory ? FuseOpcode.RELEASEDIR : FuseOpcode.RELEASE;
}

/** Ends the handle. The server hears of it when nobody works on the file any more. Yields. */
export function closeFile(handle: i32, file: OpenFile): void {
  beginUse(file);
  files.remove(handle);
  file.closed = true;
  endUse(file);
}

/** From here to endUse() the file stays, closed or not, and the thread cannot be killed. */
export function beginUse(file: OpenFile): void {
  protect();
  file.uses++;
}

/** Yields if the file was closed meanwhile. A thread that was killed does not return. */
export function endUse(file: OpenFile): void {
  file.uses--;
  if (file.closed && file.uses == 0) release(file);
  unshield();
}

/** The file has changed, as far as anybody knows. */
export function markChanged(file: OpenFile): void {
  sessionOf(file).version++;
  expire(file.node);
}

/** What was stored into parts of the file that are mapped may have reached it now (window.ts). */
export function takeStored(file: OpenFile): void {
  if (sessionOf(file).window != 0 && isWritable(file)) markChanged(file);
}

/**
 * Tells the server, and does not wait for its answer. The node is let go behind that answer, so
 * that it is not forgotten before. Yields while all requests are busy.
 */
function release(file: OpenFile): void {
  const node = file.node;
  const request = beginCall(node.session);
  if (request) {
    const input = releaseArguments(request, file);
    post(request, releaseOf(file), node.nodeid, input, 0, 0, 0);
    takeStored(file);
    request.node = changetype<usize>(node);
    ToroFreeMem(changetype<usize>(file));
    endCall(request);
  } else {
    letGo(node);
    ToroFreeMem(changetype<usize>(file));
  }
}

/** Is that no memory? A device would write there. */
export function isOutside(buffer: usize, length: u32): bool {
  return <u64>buffer + length > <u64>memory.size() << 16;
}

/** Makes sure that the attributes of an open file may be believed. Yields. */
export function refresh(request: FsRequest, file: OpenFile): i32 {
  if (file.node.attrUntilNs > nowNs()) return 0;
  return getAttributes(request, file.node, true, file.fh);
}

/** As refresh(), as a call of its own. The file may be closed behind it. Yields. */
export function believe(f: OpenFile): i32 {
  const session = sessionOf(f);
  if (session.driver.device.failed) return -Errno.EIO;
  if (f.node.attrUntilNs > nowNs()) return 0;
  beginUse(f);
  const request = beginCall(session);
  const status = request ? refresh(request, f) : callError(session);
  if (request) endCall(request);
  endUse(f);
  return status;
}

/** Reads the next entries of a directory into `buffer`. Yields. Returns their bytes or an error. */
export function readEntries(request: FsRequest, file: OpenFile, buffer: usize, length: u32): i32 {
  const bytes = min(length, sessionOf(file).dataBytesMax);
  const cookie = file.position;
  const input = argumentsOf(request, FuseReadIn.sizeof);
  store<u64>(input, file.fh, FuseReadIn.fh);
  store<u64>(input, cookie, FuseReadIn.offset);
  store<u32>(input, bytes, FuseReadIn.size);
  const nodeid = file.node.nodeid;
  const head = <u32>FuseReadIn.sizeof;
  const got = transact(request, FuseOpcode.READDIR, nodeid, head, 0, buffer, bytes);
  return got <= 0 ? got : pack(file, buffer, got, cookie);
}

/** Turns FUSE's entries at `buffer` into ours, which are shorter, and checks each of them (D15). */
function pack(file: OpenFile, buffer: usize, bytes: u32, cookie: u64): i32 {
  const end = buffer + bytes;
  let from = buffer;
  let to = buffer;
  let next = cookie;
  while (from < end) {
    if (<u32>(end - from) < <u32>FuseDirent.name) return -Errno.EIO;
    const ino = load<u64>(from, FuseDirent.ino);
    const type = load<u32>(from, FuseDirent.type);
    const nameBytes = load<u32>(from, FuseDirent.namelen);
    next = load<u64>(from, FuseDirent.off);
    if (nameBytes == 0 || nameBytes > <u32>FUSE_NAME_BYTES_MAX) return -Errno.EIO;
    const entryBytes = fuseDirentBytes(nameBytes);
    if (entryBytes > <u32>(end - from)) return -Errno.EIO;
    const name = to + DirectoryEntry.name;
    const padded = (nameBytes + 7) & ~7;
    memory.copy(name, from + FuseDirent.name, nameBytes);
    if (!isName(name, nameBytes)) return -Errno.EIO;
    memory.fill(name + nameBytes, 0, padded - nameBytes);
    store<u64>(to, ino, DirectoryEntry.ino);
    store<u32>(to, type, DirectoryEntry.type);
    store<u32>(to, nameBytes, DirectoryEntry.nameBytes);
    to = name + padded;
    from += entryBytes;
  }
  if (next == cookie) return -Errno.EIO; // it would never come to an end
  file.position = next;
  return <i32>(to - buffer);
}

function isName(name: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    const byte: u32 = load<u8>(name + i);
    if (byte == 0 || byte == 0x2f) return false;
  }
  return true;
}
