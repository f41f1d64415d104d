// Open files as data, and the requests on them: OPEN, READ, READDIR, RELEASE.
import { Errno } from "../../drivers/abi/errno";
import {
  FUSE_NAME_BYTES_MAX,
  FuseDirent,
  fuseDirentBytes,
  FuseOpcode,
  FuseOpenIn,
  FuseOpenOut,
  FuseReadIn,
  FuseReleaseIn,
} from "../../drivers/abi/fuse";
import { argumentsOf, FsRequest, post, replyOf, transact } from "../../drivers/fs";
import { HandleTable } from "../handle";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { unshield } from "../scheduler";
import { hold, isDirectory, letGo, Node, Session } from "./node";
import { beginCall, endCall, protect } from "./request";
import { DirectoryEntry } from "./stat";

/** Files open at a time, of all file systems. */
const OPEN_FILES_MAX: u32 = 1024;

@unmanaged
export class OpenFile {
  fh: u64; // the server's name for it
  position: u64; // of a directory: the cookie of the next entry
  node: Node; // held
  directory: bool;
  closed: bool; // has no handle any more: the last user releases it
  uses: u32; // calls that are working on it
}

export const NO_FILE: OpenFile = changetype<OpenFile>(0);
const files = changetype<HandleTable>(memory.data(32));

export function fileOf(handle: i32): OpenFile {
  return changetype<OpenFile>(files.get(handle));
}

export function sessionOf(file: OpenFile): Session {
  return file.node.session;
}

/** Opens the node that the request stands on. Yields. Returns the handle or an error. */
export function openNode(request: FsRequest): i32 {
  if (files.count >= OPEN_FILES_MAX) return -Errno.ENFILE;
  const file = changetype<OpenFile>(ToroAllocMem(offsetof<OpenFile>()));
  if (file == NO_FILE) return -Errno.ENOMEM;
  const handle = files.add(changetype<usize>(file));
  if (handle < 0) {
    ToroFreeMem(changetype<usize>(file));
    return handle;
  }
  const node = changetype<Node>(request.node);
  file.node = node;
  file.directory = isDirectory(node);
  argumentsOf(request, FuseOpenIn.sizeof); // O_RDONLY is 0
  const opcode = file.directory ? FuseOpcode.OPENDIR : FuseOpcode.OPEN;
  const reply = <u32>FuseOpenOut.sizeof;
  const got = transact(request, opcode, node.nodeid, FuseOpenIn.sizeof, reply, 0, 0);
  if (got < 0) {
    files.remove(handle);
    ToroFreeMem(changetype<usize>(file));
    return got;
  }
  file.fh = load<u64>(replyOf(request), FuseOpenOut.fh);
  hold(node);
  return handle;
}

/** Ends the handle. The server hears of it when nobody works on the file any more. Yields. */
export function closeFile(handle: i32, file: OpenFile): void {
  files.remove(handle);
  file.closed = true;
  if (file.uses == 0) release(file);
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

/**
 * Tells the server, and does not wait for its answer. The node is let go behind that answer, so
 * that it is not forgotten before. Yields while all requests are busy.
 */
function release(file: OpenFile): void {
  const node = file.node;
  const request = beginCall(node.session);
  if (request) {
    const input = argumentsOf(request, FuseReleaseIn.sizeof);
    store<u64>(input, file.fh, FuseReleaseIn.fh);
    const opcode = file.directory ? FuseOpcode.RELEASEDIR : FuseOpcode.RELEASE;
    post(request, opcode, node.nodeid, FuseReleaseIn.sizeof, 0, 0, 0);
    request.node = changetype<usize>(node);
    ToroFreeMem(changetype<usize>(file));
    endCall(request);
  } else {
    letGo(node);
    ToroFreeMem(changetype<usize>(file));
  }
}

/** Reads into `buffer`, in as many READs as the server's limit makes of it. Yields. */
export function readInto(
  request: FsRequest,
  file: OpenFile,
  buffer: usize,
  length: u32,
  offset: u64,
): i32 {
  const most = sessionOf(file).readBytesMax;
  let done: u32 = 0;
  while (done < length) {
    const bytes = min(length - done, most);
    const got = sendRead(request, FuseOpcode.READ, file, buffer + done, bytes, offset + done);
    if (got < 0) return done == 0 ? got : <i32>done;
    done += got;
    if (<u32>got < bytes) break; // the end of the file
  }
  return done;
}

function sendRead(
  request: FsRequest,
  opcode: FuseOpcode,
  file: OpenFile,
  buffer: usize,
  bytes: u32,
  offset: u64,
): i32 {
  const input = argumentsOf(request, FuseReadIn.sizeof);
  store<u64>(input, file.fh, FuseReadIn.fh);
  store<u64>(input, offset, FuseReadIn.offset);
  store<u32>(input, bytes, FuseReadIn.size);
  return transact(request, opcode, file.node.nodeid, FuseReadIn.sizeof, 0, buffer, bytes);
}

/** Reads the next entries of a directory into `buffer`. Yields. Returns their bytes or an error. */
export function readEntries(request: FsRequest, file: OpenFile, buffer: usize, length: u32): i32 {
  const bytes = min(length, sessionOf(file).readBytesMax);
  const cookie = file.position;
  const got = sendRead(request, FuseOpcode.READDIR, file, buffer, bytes, cookie);
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
