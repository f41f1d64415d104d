// Flags of open(2): Linux's numbers on the wire, the host's own in its file calls.
import * as fs from "node:fs";
import {
  FUSE_O_ACCMODE,
  FUSE_O_APPEND,
  FUSE_O_DSYNC,
  FUSE_O_RDWR,
  FUSE_O_SYNC,
  FUSE_O_WRONLY,
} from "../../../abi/fuse.ts";

const { O_APPEND, O_DSYNC = 0, O_RDONLY, O_RDWR, O_SYNC, O_WRONLY } = fs.constants;

/**
 * Translates the flags that describe an open file. Others are actions, or do not concern the host.
 */
export function hostFlags(flags: number): number {
  const access = flags & FUSE_O_ACCMODE;
  let host = access === FUSE_O_RDWR ? O_RDWR : access === FUSE_O_WRONLY ? O_WRONLY : O_RDONLY;
  if ((flags & FUSE_O_APPEND) !== 0) host |= O_APPEND;
  if ((flags & FUSE_O_SYNC) === FUSE_O_SYNC) host |= O_SYNC;
  else if ((flags & FUSE_O_DSYNC) !== 0) host |= O_DSYNC;
  return host;
}
