// Where file systems are mounted: at "/" and below it; the longest prefix of a path wins.
import { Errno } from "../../abi/errno";
import { FS_TAG_BYTES_MAX } from "../../abi/fuse";
import { findFsDriver } from "../../drivers/fs";
import { FsDriver } from "../../drivers/fs/driver";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { unshield } from "../scheduler";
import { beginCall, endCall, protect } from "./request";
import { createSession, destroySession, Session } from "./node";
import { startSession } from "./session";

const MOUNTS_MAX: u32 = 8;
const PATH_BYTES_MAX: u32 = 255;
const SLASH: u32 = 0x2f;
const DOT: u32 = 0x2e;

@unmanaged
class Mount {
  session: Session;
  path: usize; // without the first slash
  pathBytes: u32;
}

const mounts: usize = memory.data(8 * 12);
let count: u32 = 0;

function mountAt(i: u32): Mount {
  return changetype<Mount>(mounts + i * offsetof<Mount>());
}

/** What findMount found: the file system, and where the path goes on inside it. */
@unmanaged
export class Place {
  session: Session;
  rest: usize;
}

const place = changetype<Place>(memory.data(offsetof<Place>()));
const NOWHERE: Place = changetype<Place>(0);

/** The mount that a path leads to, or null. Good until the next call. Does not yield. */
export function findMount(path: usize, end: usize): Place {
  let longest: i32 = -1;
  for (let i: u32 = 0; i < count; i++) {
    const mount = mountAt(i);
    if (<i32>mount.pathBytes <= longest) continue;
    const rest = restBehind(mount, path, end);
    if (rest == 0) continue;
    longest = mount.pathBytes;
    place.session = mount.session;
    place.rest = rest;
  }
  return longest < 0 ? NOWHERE : place;
}

/** Where the path goes on behind the mount's, or 0. Empty components and "." do not count. */
function restBehind(mount: Mount, path: usize, end: usize): usize {
  if (mount.pathBytes == 0) return path;
  let p = skipEmpty(path, end);
  for (let i: u32 = 0; i < mount.pathBytes; i++) {
    const byte: u32 = load<u8>(mount.path + i);
    if (p == end || <u32>load<u8>(p) != byte) return 0;
    p = byte == SLASH ? skipEmpty(p, end) : p + 1;
  }
  return p == end || <u32>load<u8>(p) == SLASH ? p : 0;
}

/** To the first name: over slashes, and dots between them. */
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
 * Mounts the virtio-fs device called `tag` at `path`: "/", or "/name" and so on; nothing needs to
 * be there. A path leads there if it begins with the mount's as it is written, but for "." and
 * empty components: ".." and symbolic links are resolved inside the file system where the path
 * began, and never lead into another. A device may be mounted at several places. Yields. Returns 0,
 * -EINVAL (no such path, or tag), -ENODEV (no such device), -EBUSY (the path is taken, or the
 * device is being mounted), -ENOMEM (also: 8 mounts), -EPROTO, -ENOTDIR or -EIO.
 */
export function SysMount(tag: usize, tagBytes: u32, path: usize, pathBytes: u32): i32 {
  if (tagBytes == 0 || tagBytes > <u32>FS_TAG_BYTES_MAX) return -Errno.EINVAL;
  if (!isMountPath(path, pathBytes)) return -Errno.EINVAL;
  const driver = findFsDriver(tag, tagBytes);
  if (!driver) return -Errno.ENODEV;
  if (isTaken(path + 1, pathBytes - 1)) return -Errno.EBUSY;
  if (count == MOUNTS_MAX) return -Errno.ENOMEM;
  const copy = ToroGetMem(pathBytes);
  if (copy == 0) return -Errno.ENOMEM;
  memory.copy(copy, path + 1, pathBytes - 1);
  protect();
  const status = addMount(driver, copy, pathBytes - 1);
  if (status < 0) ToroFreeMem(copy);
  unshield();
  return status;
}

/** Keeps `path`, unless it returns an error. Yields. */
function addMount(driver: FsDriver, path: usize, pathBytes: u32): i32 {
  const status = provideSession(driver);
  if (status < 0) return status;
  // Another thread may have mounted something meanwhile.
  if (isTaken(path, pathBytes) || count == MOUNTS_MAX) return -Errno.EBUSY;
  const mount = mountAt(count++);
  mount.session = changetype<Session>(driver.session);
  mount.path = path;
  mount.pathBytes = pathBytes;
  return 0;
}

/** Starts the device's session, if it has none. Yields. */
function provideSession(driver: FsDriver): i32 {
  if (driver.device.failed) return -Errno.EIO;
  if (driver.session != 0) {
    return changetype<Session>(driver.session).started ? 0 : -Errno.EBUSY;
  }
  const session = createSession(driver);
  if (!session) return -Errno.ENOMEM;
  driver.session = changetype<usize>(session);
  const request = beginCall(session);
  let status = -Errno.ENOMEM;
  if (request) {
    status = startSession(request, session);
    if (status < 0) {
      driver.session = 0;
      destroySession(session);
    }
    endCall(request);
  } else {
    driver.session = 0;
    destroySession(session);
  }
  return status;
}
