// Where file systems are mounted: at "/" and below it. The longest prefix of a path wins.
import { Errno } from "../../abi/errno";
import { FS_TAG_BYTES_MAX } from "../../abi/fuse";
import { findDevice, isDeviceFailed, sessionOn } from "../fuse/device";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { unshield } from "../scheduler";
import { beginCall, Call, callAt, endCall, protect } from "./call";
import { createFileSystem, destroyFileSystem, fileSystemOf, NO_FILE_SYSTEM } from "./filesystem";
import { FileSystem } from "./node";
import { startFileSystem } from "./start";
import { distrust } from "./table";
import { DOT, SLASH } from "./text";

const MOUNTS_MAX: u32 = 8;
const PATH_BYTES_MAX: u32 = 255;
/** A mount lives as long as the kernel. */
@unmanaged
export class Mount {
  fs: FileSystem;
  path: usize; // without the first slash
  pathBytes: u32;
}

const mounts: usize = memory.data(8 * 12);
if (offsetof<Mount>() != 12) ERROR("fs: mount layout");
let count: u32 = 0;

function mountAt(i: u32): Mount {
  assert(i < MOUNTS_MAX, "fs: too many");
  return changetype<Mount>(mounts + i * offsetof<Mount>());
}

/** Names and attributes that are cached end: the time that they are valid for has stood still. */
export function distrustAll(): void {
  for (let i: u32 = 0; i < count; i++) distrust(mountAt(i).fs);
}

export const NO_MOUNT: Mount = changetype<Mount>(0);

/** The mount that a path leads to, or null. Does not yield. */
export function findMount(path: usize, end: usize): Mount {
  let longest = NO_MOUNT;
  for (let i: u32 = 0; i < count; i++) {
    const mount = mountAt(i);
    if (longest != NO_MOUNT && mount.pathBytes <= longest.pathBytes) continue;
    if (mount.pathBytes == 0 || restAfter(mount, path, end) != 0) longest = mount;
  }
  return longest;
}

/**
 * Where the path goes on inside the mount, or 0 if it does not lead there. Empty components and "."
 * do not count.
 */
export function restAfter(mount: Mount, path: usize, end: usize): usize {
  if (mount.pathBytes == 0) return path;
  let p = skipEmpty(path, end);
  for (let i: u32 = 0; i < mount.pathBytes; i++) {
    const byte: u32 = load<u8>(mount.path + i);
    if (p == end || <u32>load<u8>(p) != byte) return 0;
    p = byte == SLASH ? skipEmpty(p, end) : p + 1;
  }
  assert(p <= end, "fs: too long");
  return p == end || <u32>load<u8>(p) == SLASH ? p : 0;
}

/** Skips empty components and ".". */
function skipEmpty(p: usize, end: usize): usize {
  for (; p < end; p++) {
    const byte: u32 = load<u8>(p);
    const dot = byte == DOT && (p + 1 == end || <u32>load<u8>(p, 1) == SLASH);
    if (byte != SLASH && !dot) break;
  }
  return p;
}

/** Is it "/" or "/name/name", without empty components, "." and ".."? */
function isMountPath(path: usize, bytes: u32): bool {
  if (bytes == 0 || bytes > PATH_BYTES_MAX || <u32>load<u8>(path) != SLASH) return false;
  if (bytes == 1) return true;
  let dots = true;
  let length: u32 = 0;
  for (let i: u32 = 1; i <= bytes; i++) {
    const byte = i == bytes ? SLASH : <u32>load<u8>(path + i);
    if (byte != SLASH) {
      length++;
      dots = dots && byte == DOT;
      if (byte == 0) return false;
    } else {
      if (length == 0 || (dots && length <= 2)) return false;
      length = 0;
      dots = true;
    }
  }
  return true;
}

function isTaken(path: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const mount = mountAt(i);
    if (mount.pathBytes == bytes && memory.compare(mount.path, path, bytes) == 0) return true;
  }
  return false;
}

/**
 * Mounts the virtio-fs device called `tag` at `path`: "/", or "/name" and so on. Nothing needs to
 * be there. A path leads to the mount if it begins with the mount's path literally, except for "."
 * and empty components: ".." and symbolic links are resolved inside the file system in which the
 * path begins, and never lead into another. A device may be mounted at several places. Yields.
 * Returns 0, -EINVAL (no such path or tag), -ENODEV (no such device), -EBUSY (the path is taken, or
 * the device is being mounted), -ENOMEM (also: 8 mounts), -EPROTO, -ENOTDIR or -EIO.
 */
export function SysMount(tag: usize, tagBytes: u32, path: usize, pathBytes: u32): i32 {
  if (tagBytes == 0 || tagBytes > <u32>FS_TAG_BYTES_MAX) return -Errno.EINVAL;
  if (!isMountPath(path, pathBytes)) return -Errno.EINVAL;
  const device = findDevice(tag, tagBytes);
  if (device == 0) return -Errno.ENODEV;
  if (isTaken(path + 1, pathBytes - 1)) return -Errno.EBUSY;
  if (count == MOUNTS_MAX) return -Errno.ENOMEM;
  const copy = ToroGetMem(pathBytes);
  if (copy == 0) return -Errno.ENOMEM;
  memory.copy(copy, path + 1, pathBytes - 1);
  protect();
  const status = addMount(device, copy, pathBytes - 1);
  if (status < 0) ToroFreeMem(copy);
  unshield();
  return status;
}

/** Keeps `path`, unless it returns an error. Yields. */
function addMount(device: usize, path: usize, pathBytes: u32): i32 {
  if (isDeviceFailed(device)) return -Errno.EIO;
  const session = sessionOn(device, offsetof<Call>());
  if (!session) return -Errno.ENOMEM;
  let fs = fileSystemOf(session);
  if (fs != NO_FILE_SYSTEM && !session.started) return -Errno.EBUSY;
  if (fs == NO_FILE_SYSTEM) {
    fs = createFileSystem(session);
    const status = fs == NO_FILE_SYSTEM ? -Errno.ENOMEM : start(fs);
    if (status < 0) return status;
  }
  assert(fs.session == session && session.started, "fs: state");
  // Another thread may have mounted something meanwhile.
  if (isTaken(path, pathBytes) || count == MOUNTS_MAX) return -Errno.EBUSY;
  const mount = mountAt(count++);
  mount.fs = fs;
  mount.path = path;
  mount.pathBytes = pathBytes;
  return 0;
}

/** Starts a new file system, or destroys it. Yields. */
function start(fs: FileSystem): i32 {
  const begun = beginCall(fs);
  let status = <i32>begun;
  if (begun > 0) {
    const call = callAt(begun);
    status = startFileSystem(call.request, fs);
    endCall(call);
  }
  if (status < 0) destroyFileSystem(fs);
  assert((status == 0) == fs.session.started, "fs: state");
  return status;
}
