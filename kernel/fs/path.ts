// How a call on a path begins: from the mounts to where its node, or its last name, is.
import { Errno } from "../../abi/errno";
import { FsRequest } from "../../drivers/fs/driver";
import { findMount, Place } from "./mount";
import { beginCall, callError, endCall } from "./request";
import { PATH_BYTES_MAX, Walk, walk } from "./walk";

let failure: i32 = 0;

/** Where the path leads to, or null: pathError() says why. Does not yield. */
export function placeOf(path: usize, pathBytes: u32): Place {
  const place = findMount(path, path + pathBytes);
  failure = -Errno.ENOENT;
  if (changetype<usize>(place) == 0 || pathBytes == 0) return changetype<Place>(0);
  failure = -Errno.ENAMETOOLONG;
  return pathBytes > PATH_BYTES_MAX ? changetype<Place>(0) : place;
}

/** Begins a call that stands where the path leads. Yields. Null: pathError() says why. */
export function beginPath(path: usize, pathBytes: u32, how: Walk): FsRequest | null {
  const request = beginPathOnce(path, pathBytes, how);
  return isStale(request ? 0 : failure) ? beginPathOnce(path, pathBytes, how) : request;
}

/**
 * Did a call by a path fail since a name on it was believed that leads to another file by now? They
 * have been forgotten (endCall), so it can be made once more.
 */
export function isStale(status: i64): bool {
  return status == -Errno.ESTALE;
}

function beginPathOnce(path: usize, pathBytes: u32, how: Walk): FsRequest | null {
  const place = placeOf(path, pathBytes);
  if (changetype<usize>(place) == 0) return null;
  const session = place.session;
  const rest = place.rest;
  const request = beginCall(session);
  if (!request) {
    failure = callError(session);
    return null;
  }
  const status = walk(request, session, rest, path + pathBytes, how);
  if (status == 0) return request;
  endCall(request);
  failure = status;
  return null;
}

/** Of the call that has just failed. */
export function pathError(): i32 {
  return failure;
}
