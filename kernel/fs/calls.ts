// Toro's file calls that only read. A path is bytes and needs no NUL; it begins at the root, with
// or without a leading slash. A handle is looked up again after every wait, since another thread
// may have closed the file. While the device is gone calls return -EIO; for files that were open
// before it came back, -ESTALE (start.ts).
import { Errno } from "../../abi/errno";
import { hasFailed } from "../fuse/session";
import { nowNs } from "../clock";
import { beginCall, callAt, endCall } from "./call";
import { closeFile, fileOf, NO_FILE, OpenFile, revalidate } from "./file";
import { findMount, restAfter } from "./mount";
import { FileSystem, NO_NODE, statOf } from "./node";
import { getAttributes } from "./nodeattributes";
import { isStale, refuse } from "./path";
import { copyStat, FileStat } from "./stat";
import { ADVANCES, transferBuffer } from "./transfer";
import { findCached, Walk, walk } from "./walk";

export const SEEK_SET: i32 = 0;
export const SEEK_CUR: i32 = 1;
export const SEEK_END: i32 = 2;

/**
 * Fills the FileStat at `stat` for the file at the path, through symbolic links. Yields, unless all
 * of it is cached and valid; then the host is not asked. Returns 0, -ENOENT, -ENOTDIR, -ELOOP,
 * -ENAMETOOLONG, -EINVAL (a NUL), -ENOMEM or an error of the host.
 */
export function SysStatFile(path: usize, pathBytes: u32, stat: usize): i32 {
  const end = path + pathBytes;
  const mount = findMount(path, end);
  const refused = refuse(mount, pathBytes);
  if (refused < 0) return refused;
  const fs = mount.fs;
  const rest = restAfter(mount, path, end);
  const now = nowNs();
  const known = hasFailed(fs.session) ? NO_NODE : findCached(fs, rest, end, now);
  if (known != NO_NODE) {
    if (known.nodeid == 0) return -Errno.ENOENT;
    if (known.attrUntilNs > now) {
      copyStat(changetype<FileStat>(stat), statOf(known));
      return 0;
    }
  }
  return statTwice(fs, rest, end, stat, Walk.Follow);
}

/** As SysStatFile, but for a symbolic link itself if the path ends in one. Yields. */
export function SysStatLink(path: usize, pathBytes: u32, stat: usize): i32 {
  const end = path + pathBytes;
  const mount = findMount(path, end);
  const refused = refuse(mount, pathBytes);
  if (refused < 0) return refused;
  return statTwice(mount.fs, restAfter(mount, path, end), end, stat, Walk.Stay);
}

function statTwice(fs: FileSystem, path: usize, end: usize, stat: usize, how: Walk): i32 {
  const status = statSlowly(fs, path, end, stat, how);
  return isStale(status) ? statSlowly(fs, path, end, stat, how) : status;
}

function statSlowly(fs: FileSystem, path: usize, end: usize, stat: usize, how: Walk): i32 {
  const begun = beginCall(fs);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  let status = walk(call, fs, path, end, how);
  const node = call.node;
  if (status == 0 && !call.fresh && node.attrUntilNs <= nowNs()) {
    status = getAttributes(call.request, node, false, 0);
  }
  if (status == 0) copyStat(changetype<FileStat>(stat), statOf(node));
  endCall(call);
  return status;
}

function read(file: OpenFile, buffer: usize, length: u32, offset: u64, advance: bool): i32 {
  if (file.directory) return -Errno.EISDIR;
  return transferBuffer(file, buffer, length, offset, advance ? ADVANCES : 0);
}

/**
 * Reads up to `length` bytes from the file's position, straight into `buffer`. Yields. Returns
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
    const status = revalidate(f);
    if (status < 0) return status;
    f = fileOf(file);
    if (f == NO_FILE) return -Errno.EBADF;
    from = statOf(f.node).size;
  } else if (whence != SEEK_SET) {
    return -Errno.EINVAL;
  }
  assert(<i64>from >= 0, "fs: too long");
  const position = from + <u64>offset;
  // Both terms are below 2^63: a sum with the top bit set is negative, or has overflown.
  if (<i64>position < 0) return -Errno.EINVAL;
  f.position = position;
  return position;
}

/** As SysStatFile for an open file, wherever its name leads by now; or -EBADF. Yields. */
export function SysStatOpenFile(file: i32, stat: usize): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  const status = revalidate(f);
  if (status < 0) return status;
  if (fileOf(file) != f) return -Errno.EBADF;
  copyStat(changetype<FileStat>(stat), statOf(f.node));
  return 0;
}

/** Closes the file. Calls that are at work on it finish. Returns 0 or -EBADF. Yields. */
export function SysCloseFile(file: i32): i32 {
  const f = fileOf(file);
  if (f == NO_FILE) return -Errno.EBADF;
  closeFile(file, f);
  return 0;
}
