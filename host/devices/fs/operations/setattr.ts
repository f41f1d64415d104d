// SETATTR: owner, size, permissions and times, in this order, because each one changes those after
// it. The owner, which the host refuses most often, comes before anything has changed.
import { Errno } from "../../../../abi/errno.ts";
import { FuseOpcode, FuseType } from "../../../../abi/fuse.ts";
import { FuseSetattrIn, FuseSetattrValid } from "../../../../abi/fuse-write.ts";
import type { FileChanges, FileTime } from "../../../ports/files.ts";
import type { Handle } from "../nodes/handles.ts";
import type { Node } from "../nodes/node.ts";
import { clearSetId, permissionsOf, withoutSetId } from "../nodes/set-id.ts";
import type { FuseRequest } from "../request.ts";
import type { Share } from "../share.ts";
import { getU64, putAttributes } from "./attributes.ts";
import { changing, type Entry } from "./entry.ts";

export const SETATTR: Entry = changing(FuseOpcode.SETATTR, setattr);

const NS_PER_S = 1_000_000_000n;

function setattr(changes: FileChanges, share: Share, request: FuseRequest, node: Node): number {
  const input = request.arguments;
  const valid = input.getUint32(FuseSetattrIn.valid, true);
  const has = (bit: FuseSetattrValid) => ((valid >>> bit) & 1) === 1;
  let handle: Handle | undefined;
  if (has(FuseSetattrValid.FH)) {
    handle = share.handles.get(getU64(input, FuseSetattrIn.fh), node.id);
    if (handle === undefined) return -Errno.EBADF;
  }
  const atime = timeIn(input, FuseSetattrIn.atime, FuseSetattrIn.atimensec);
  const mtime = timeIn(input, FuseSetattrIn.mtime, FuseSetattrIn.mtimensec);
  const setsAtime = has(FuseSetattrValid.ATIME);
  const setsMtime = has(FuseSetattrValid.MTIME);
  if ((setsAtime && atime === null) || (setsMtime && mtime === null)) return -Errno.EINVAL;
  const size = input.getBigUint64(FuseSetattrIn.size, true);
  const fault = has(FuseSetattrValid.SIZE) ? sizeFault(node, size) : 0;
  if (fault < 0) return fault;
  if (has(FuseSetattrValid.UID) || has(FuseSetattrValid.GID)) {
    const ownerAt = (at: number) => {
      const id = input.getUint32(at, true);
      return id === 0xffffffff ? -1 : id;
    };
    const uid = has(FuseSetattrValid.UID) ? ownerAt(FuseSetattrIn.uid) : -1;
    const gid = has(FuseSetattrValid.GID) ? ownerAt(FuseSetattrIn.gid) : -1;
    withoutSetId(changes, share.files, node, () => changes.chown(node.inode, uid, gid));
  }
  if (has(FuseSetattrValid.SIZE)) resize(changes, share, node, handle, Number(size));
  if (has(FuseSetattrValid.KILL_SUIDGID)) clearSetId(changes, share.files, node);
  if (has(FuseSetattrValid.MODE)) {
    const mode = input.getUint32(FuseSetattrIn.mode, true);
    changes.chmod(node.inode, permissionsOf(mode, node.type));
  }
  if (setsAtime || setsMtime) {
    share.window?.writeBack(node); // or a later write-back would set the times again
    const now = (bit: FuseSetattrValid, time: FileTime) => (has(bit) ? "now" : time);
    changes.setTimes(
      node.inode,
      setsAtime ? now(FuseSetattrValid.ATIME_NOW, atime) : null,
      setsMtime ? now(FuseSetattrValid.MTIME_NOW, mtime) : null,
    );
  }
  return putAttributes(request.reply, share.files.stat(node.inode), share.validMs);
}

function sizeFault(node: Node, size: bigint): number {
  if (node.type === FuseType.DIR) return -Errno.EISDIR;
  if (node.type !== FuseType.REG) return -Errno.EINVAL;
  // Node's calls accept sizes up to here.
  return size > BigInt(Number.MAX_SAFE_INTEGER) ? -Errno.EFBIG : 0;
}

/** By the open file if there is one: it may have no name any more (U19). */
function resize(
  changes: FileChanges,
  share: Share,
  node: Node,
  handle: Handle | undefined,
  size: number,
): void {
  const { files, window } = share;
  window?.writeBack(node);
  const before = window === null ? 0 : Number(files.stat(node.inode).size);
  const descriptor = handle?.file?.descriptor;
  withoutSetId(changes, files, node, () => {
    if (descriptor === undefined) changes.resize(node.inode, size);
    else changes.truncate(descriptor, size);
  });
  // Mapped bytes beyond the new end read as zeros, and are not written back.
  window?.changed(node, Math.min(before, size), Number.POSITIVE_INFINITY);
}

/** null: not a valid time. */
function timeIn(input: DataView, at: number, nsecAt: number): bigint | null {
  const ns = input.getUint32(nsecAt, true);
  return ns < NS_PER_S ? input.getBigInt64(at, true) * NS_PER_S + BigInt(ns) : null;
}
