// How a call on a path begins: at the mount that the path leads to.
import { Errno } from "../../abi/errno";
import { beginCall, callAt, endCall } from "./call";
import { findMount, Mount, NO_MOUNT, restAfter } from "./mount";
import { NO_NODE } from "./node";
import { PATH_BYTES_MAX, Walk, walk } from "./walk";

/** Why a path that leads to that mount is refused before anybody looks; or 0. */
export function refuse(mount: Mount, pathBytes: u32): i32 {
  if (mount == NO_MOUNT || pathBytes == 0) return -Errno.ENOENT;
  return pathBytes > PATH_BYTES_MAX ? -Errno.ENAMETOOLONG : 0;
}

/** Begins a call and walks to the path. Yields. Returns the Call (callAt) or an error. */
export function beginPath(path: usize, pathBytes: u32, how: Walk): i64 {
  const begun = beginPathOnce(path, pathBytes, how);
  return isStale(begun) ? beginPathOnce(path, pathBytes, how) : begun;
}

/**
 * Did a call on a path fail because a name that was still valid leads to another file by now? The
 * names have been forgotten (endCall), so the call can be made once more.
 */
export function isStale(status: i64): bool {
  return status == -Errno.ESTALE;
}

function beginPathOnce(path: usize, pathBytes: u32, how: Walk): i64 {
  const end = path + pathBytes;
  const mount = findMount(path, end);
  const refused = refuse(mount, pathBytes);
  if (refused < 0) return refused;
  const begun = beginCall(mount.fs);
  if (begun < 0) return begun;
  const call = callAt(begun);
  const status = walk(call, mount.fs, restAfter(mount, path, end), end, how);
  assert(call.node != NO_NODE || status < 0, "fs: no node");
  if (status == 0) return begun;
  endCall(call);
  return status;
}
