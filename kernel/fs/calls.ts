// Toro's file calls, those that only read. A path is bytes and needs no NUL; it begins at the root
// whether or not there is a slash in front. A handle is looked up again after every wait: another
// thread may have closed the file. While the device is gone: -EIO; what was open before it came
// back: -ESTALE (restart.ts).
import { Errno } from "../../abi/errno";
import { nowNs } from "../clock";
import {
  beginUse,
  believe,
  closeFile,
  endUse,
  fileOf,
  isOutside,
  NO_FILE,
  OpenFile,
  readEntries,
  sessionOf,
} from "./file";
import { move } from "./move";
import { Node, NO_NODE, Session, statOf } from "./node";
import { isStale, pathError, placeOf } from "./path";
import { beginCall, callError, endCall } from "./request";
import { getAttributes } from "./session";
import { copyStat, FileStat } from "./stat";
import { findCached, Walk, walk } from "./walk";

export { SysMount } from "./mount";
export { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, SysOpenFile } from "./open";

export const SEEK_SET: i32 = 0;
export const SEEK_CUR: i32 = 1;
export const SEEK_END: i32 = 2;

/**
 * Fills the FileStat at `stat` for what is at the path, symbolic links followed. Yields, unless all
 * of it may still be believed; then the host is not asked either. Returns 0, -ENOENT, -ENOTDIR,
 * -ELOOP, -ENAMETOOLONG, -EINVAL (a NUL), -ENOMEM or an error of the host.
 */
export function SysStatFile(path: usize, pathBytes: u32, stat: usize): i32 {
  const place = placeOf(path, pathBytes);
  if (changetype<usize>(place) == 0) return pathError();
  const session = place.session;
  const now = nowNs();
  const failed = session.driver.device.failed;
  const known = failed ? NO_NODE : findCached(session, place.rest, path + pathBytes, now);
  if (known != NO_NODE) {
    if (known.nodeid == 0) return -Errno.ENOENT;
    if (known.attrUntilNs > now) {
      copyStat(changetype<FileStat>(stat), statOf(known));
      return 0;
    }
  }
  return statTwice(session, place.rest, path + pathBytes, stat, Walk.Follow);
}

/** As SysStatFile, but tells of a symbolic link itself where the path ends in one. Yields. */
export function SysStatLink(path: usize, pathBytes: u32, stat: usize): i32 {
  const place = placeOf(path, pathBytes);
  if (changetype<usize>(place) == 0) return pathError();
  return statTwice(place.session, place.rest, path + pathBytes, stat, Walk.Stay);
}

function statTwice(session: Session, path: usize, end: usize, stat: usize, how: Walk): i32 {
  const status = statSlowly(session, path, end, stat, how);
  return isStale(status) ? statSlowly(session, path, end, stat, how) : status;
}

function statSlowly(session: Session, path: usize, end: usize, stat: usize, how: Walk): i32 {
  const request = beginCall(session);
  if (!request) return callError(session);
  let status = walk(request, session, path, end, how);
  const node = changetype<Node>(request.node);
  if (status == 0 && !request.fresh && node.attrUntilNs <= nowNs()) {
    status = getAttributes(request, node, false, 0);
  }
  if (status == 0) copyStat(changetype<FileStat>(stat), statOf(node));
  endCall(request);
  return status;
}

function read(file: OpenFile, buffer: usize, length: u32, offset: u64, advance: bool): i32 {
  return file.directory ? -Errno.EISDIR : move(file, 0, buffer, length, offset, advance, false);
}

/**
 * Reads up to `length` bytes from the file's position on, straight into `buffer`. Yields. Returns
 * bytes, fewer than asked for at the end of the file or when the rest failed; 0 at the end; -EBADF
 * (also: not open for reading), -EISDIR, -EFAULT, -EINVAL or -EIO. Threads that share a handle use
 * SysReadFileAt.
 */
export function SysReadFile(file: i32, buffer: usize, length: u32): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : read(f, buffer, length, f.position, true);
}

/** As SysReadFile, at `offset`; the position stays. Many threads may read at once. */
export function SysReadFileAt(file: i32, buffer: usize, length: u32, offset: u64): i32 {
  const f = fileOf(file);
  return f == NO_FILE ? -Errno.EBADF : read(f, buffer, length, offset, false);
}

/**
 * Moves the position, also beyond the end of the file. Yields for SEEK_END. Returns the new
 * position, -EBADF or -EINVAL: before the start, no such whence, or a directory to anywhere but its
 * start.
 */
export function SysSeekFile(file: i32, offset: i64, whence: i32): i64 {
  let f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  let from: u64 = 0;
  if (f.directory) {
    if (whence != SEEK_SET || offset != 0) return -Errno.EINVAL;
  } else if (whence == SEEK_CUR) {
    from = f.position;
  } else if (whence == SEEK_END) {
    const status = believe(f);
    if (status < 0) return status;
    f = fileOf(file);
    if (f == NO_FILE) return -Errno.EBADF;
    from = statOf(f.node).size;
  } else if (whence != SEEK_SET) {
    return -Errno.EINVAL;
  }
  const position = from + <u64>offset;
  // Both terms are below 2^63: a sum with the top bit set is negative, or has overflown.
  if (<i64>position < 0) return -Errno.EINVAL;
  f.position = position;
  return position;
}

/** As SysStatFile for an open file, whatever its name leads to by now. -EBADF for none. Yields. */
export function SysStatOpenFile(file: i32, stat: usize): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  const status = believe(f);
  if (status < 0) return status;
  if (fileOf(file) != f) return -Errno.EBADF;
  copyStat(changetype<FileStat>(stat), statOf(f.node));
  return 0;
}

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
  const session = sessionOf(f);
  beginUse(f);
  const request = beginCall(session);
  const got = request ? readEntries(request, f, buffer, length) : callError(session);
  if (request) endCall(request);
  endUse(f);
  return got;
}

/**
 * Closes the file; calls on it that are going on come to their end. Returns 0 or -EBADF. Yields.
 */
export function SysCloseFile(file: i32): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  closeFile(file, f);
  return 0;
}
