// Open files: their handles, how they are opened and closed, and their attributes.
import { Errno } from "../../abi/errno";
import {
  FUSE_O_ACCMODE,
  FUSE_O_APPEND,
  FUSE_O_RDONLY,
  FUSE_O_SYNC,
  FUSE_O_WRONLY,
  FuseOpcode,
  FuseOpenIn,
  FuseOpenOut,
  FuseReleaseIn,
} from "../../abi/fuse";
import { post, prepare, transact } from "../fuse/request";
import { FuseRequest, hasFailed, replyOf } from "../fuse/session";
import { nowNs } from "../clock";
import { HandleTable } from "../handle";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { unshield } from "../scheduler";
import { Ahead, dropAhead } from "./ahead";
import { beginCall, Call, callAt, endCall, protect, putOn } from "./call";
import { FileSystem, isDirectory, Node } from "./node";
import { getAttributes } from "./nodeattributes";
import { expire, hold, letGo } from "./table";

/** Files open at a time, of all file systems. */
const OPEN_FILES_MAX: u32 = 1024;

@unmanaged
export class OpenFile {
  fh: u64; // the server's handle
  position: u64; // of a directory: the cookie of the next entry
  node: Node; // held
  flags: u32; // those of WIRE_FLAGS
  directory: bool;
  closed: bool; // its handle is gone: the last user releases it
  ahead: Ahead; // the buffer that was filled for it last; it may be another file's by now
  nextOffset: u64; // the end of the last small read
  inOrder: i32; // small reads that began at the end of the one before
  uses: u32; // calls at work on it
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

export function fsOf(file: OpenFile): FileSystem {
  return file.node.fs;
}

/** Flags of open() that the server needs. */
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
 * A handle for a file that is about to be opened: at the node, or in the directory. settleFile() or
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
  assert(handle > 0 && files.count <= OPEN_FILES_MAX, "fs: count");
  file.node = node;
  file.flags = flags & WIRE_FLAGS;
  return handle;
}

/** The server has opened the file. */
export function settleFile(file: OpenFile, node: Node, fh: u64): void {
  hold(node);
  file.node = node;
  file.directory = isDirectory(node);
  file.fh = fh;
}

/** Takes back a handle that nobody has seen yet. */
export function discardFile(handle: i32): void {
  const file = fileOf(handle);
  assert(file != NO_FILE, "fs: no file");
  files.remove(handle);
  ToroFreeMem(changetype<usize>(file));
}

/** Opens the node where the call is. Yields. Returns the handle or an error. */
export function openNode(call: Call, flags: u32): i32 {
  const node = call.node;
  const request = call.request;
  const handle = newFile(node, flags);
  if (handle < 0) return handle;
  const file = fileOf(handle);
  const opcode = isDirectory(node) ? FuseOpcode.OPENDIR : FuseOpcode.OPEN;
  const input = prepare(request, opcode, node.nodeid, FuseOpenIn.sizeof);
  store<u32>(input, file.flags, FuseOpenIn.flags);
  request.replyBytes = FuseOpenOut.sizeof;
  const got = transact(request);
  if (got < 0) {
    discardFile(handle);
    return got;
  }
  settleFile(file, node, load<u64>(replyOf(request), FuseOpenOut.fh));
  return handle;
}

/** Closes a file that this call has opened, with its own request. Yields. */
export function abandonFile(request: FuseRequest, handle: i32): void {
  const file = fileOf(handle);
  prepareRelease(request, file);
  transact(request);
  letGo(file.node);
  discardFile(handle);
}

function prepareRelease(request: FuseRequest, file: OpenFile): void {
  assert(file.node.uses != 0, "fs: not held");
  const input = prepare(request, releaseOf(file), file.node.nodeid, FuseReleaseIn.sizeof);
  store<u64>(input, file.fh, FuseReleaseIn.fh);
  store<u32>(input, file.flags, FuseReleaseIn.flags);
}

function releaseOf(file: OpenFile): FuseOpcode {
  return file.directory ? FuseOpcode.RELEASEDIR : FuseOpcode.RELEASE;
}

/** Ends the handle. The server gets RELEASE after the last call on the file. Yields. */
export function closeFile(handle: i32, file: OpenFile): void {
  assert(fileOf(handle) == file && !file.closed, "fs: no file");
  beginUse(file);
  files.remove(handle);
  file.closed = true;
  endUse(file);
}

/** From here to endUse() the file stays, open or closed, and the thread cannot be killed. */
export function beginUse(file: OpenFile): void {
  protect();
  assert(!file.closed, "fs: no file");
  file.uses++;
}

/** Yields if the file was closed meanwhile. A thread that was killed does not return. */
export function endUse(file: OpenFile): void {
  assert(file.uses != 0, "fs: not held");
  file.uses--;
  if (file.closed && file.uses == 0) release(file);
  unshield();
}

/** The file may have changed: what is cached of it ends. */
export function markChanged(file: OpenFile): void {
  assert(file.uses != 0 || file.closed, "fs: not held");
  fsOf(file).version++;
  expire(file.node);
}

/** Stores into mapped parts of the file may have reached it now (window.ts). */
export function takeStored(file: OpenFile): void {
  if (fsOf(file).window != 0 && isWritable(file)) markChanged(file);
}

/**
 * Tells the server, without waiting for its answer. The node is let go after that answer, so that
 * it is not forgotten before. Yields while all requests are held.
 */
function release(file: OpenFile): void {
  assert(file.closed && file.uses == 0, "fs: in use");
  const node = file.node;
  dropAhead(file.ahead, changetype<usize>(file));
  const begun = beginCall(node.fs);
  if (begun > 0) {
    const call = callAt(begun);
    prepareRelease(call.request, file);
    post(call.request);
    takeStored(file);
    putOn(call, node);
    ToroFreeMem(changetype<usize>(file));
    endCall(call);
  } else {
    letGo(node);
    ToroFreeMem(changetype<usize>(file));
  }
}

/** Does a buffer end after the memory? A device would write there. */
export function isOutside(buffer: usize, length: u32): bool {
  return <u64>buffer + length > <u64>memory.size() << 16;
}

/** Fetches the attributes of an open file unless they are valid. Yields. Returns 0 or an error. */
export function refresh(request: FuseRequest, file: OpenFile): i32 {
  if (file.node.attrUntilNs > nowNs()) return 0;
  return getAttributes(request, file.node, true, file.fh);
}

/** As refresh(), as a call of its own, during which the file may be closed. Yields. */
export function revalidate(f: OpenFile): i32 {
  const fs = fsOf(f);
  if (hasFailed(fs.session)) return -Errno.EIO;
  if (f.node.attrUntilNs > nowNs()) return 0;
  beginUse(f);
  const begun = beginCall(fs);
  let status = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    status = refresh(call.request, f);
    endCall(call);
  }
  endUse(f);
  return status;
}
