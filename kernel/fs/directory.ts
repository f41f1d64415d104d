// Reading directories: READDIR, and its entries in the form that applications get.
import { Errno } from "../../abi/errno";
import {
  FUSE_NAME_BYTES_MAX,
  FuseDirent,
  fuseDirentBytes,
  FuseOpcode,
  FuseReadIn,
} from "../../abi/fuse";
import { attachBuffer, prepare, transact } from "../fuse/request";
import { FuseRequest } from "../fuse/session";
import { beginCall, callAt, endCall } from "./call";
import { beginUse, endUse, fileOf, fsOf, isOutside, NO_FILE, OpenFile } from "./file";
import { DirectoryEntry } from "./stat";
import { SLASH } from "./text";

/**
 * Reads the next entries of an open directory into `buffer`, whole ones, "." and ".." among them;
 * see DirectoryEntry. 280 bytes hold any entry. Yields. Returns their bytes, 0 at the end; -EBADF,
 * -ENOTDIR, -EINVAL (the next entry does not fit), -EFAULT or -EIO. SysSeekFile to 0 begins again.
 */
export function SysReadDirectory(file: i32, buffer: usize, length: u32): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  if (!f.directory) return -Errno.ENOTDIR;
  if (length == 0) return -Errno.EINVAL;
  if (isOutside(buffer, length)) return -Errno.EFAULT;
  beginUse(f);
  const begun = beginCall(fsOf(f));
  let got = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    got = readEntries(call.request, f, buffer, length);
    endCall(call);
  }
  endUse(f);
  return got;
}

/** Reads the next entries of a directory into `buffer`. Yields. Returns their bytes or an error. */
function readEntries(request: FuseRequest, file: OpenFile, buffer: usize, length: u32): i32 {
  assert(file.directory && length != 0, "fs: wrong type");
  const bytes = min(length, fsOf(file).session.dataBytesMax);
  const cookie = file.position;
  const nodeid = file.node.nodeid;
  const input = prepare(request, FuseOpcode.READDIR, nodeid, FuseReadIn.sizeof);
  store<u64>(input, file.fh, FuseReadIn.fh);
  store<u64>(input, cookie, FuseReadIn.offset);
  store<u32>(input, bytes, FuseReadIn.size);
  attachBuffer(request, buffer, bytes, false);
  const got = transact(request);
  return got <= 0 ? got : pack(file, buffer, got, cookie);
}

/**
 * Turns FUSE's entries at `buffer` into ours, which are not longer, and checks each of them (D15).
 */
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
  assert(to <= from && from == end, "fs: too long");
  if (next == cookie) return -Errno.EIO; // it would never end
  file.position = next;
  return <i32>(to - buffer);
}

function isName(name: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    const byte: u32 = load<u8>(name + i);
    if (byte == 0 || byte == SLASH) return false;
  }
  return true;
}
