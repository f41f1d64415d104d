// FUSE operations that write to files: WRITE and COPY_FILE_RANGE. There is no write cache: once
// WRITE has returned, the data is in the host's kernel. Each of them first writes back what the
// guest has stored into the window.
import { Errno } from "../../../../abi/errno.ts";
import {
  FUSE_O_ACCMODE,
  FUSE_O_APPEND,
  FUSE_O_RDONLY,
  FuseInHeader,
  FuseOpcode,
} from "../../../../abi/fuse.ts";
import { FuseCopyFileRangeIn, FuseWriteIn, FuseWriteOut } from "../../../../abi/fuse-write.ts";
import type { FileChanges } from "../../../ports/files.ts";
import type { OpenFile } from "../nodes/handles.ts";
import type { Node } from "../nodes/node.ts";
import { DATA_BYTES_MAX, type FuseRequest } from "../request.ts";
import type { Share } from "../share.ts";
import { orUndo } from "../undo.ts";
import { getU64, putU64 } from "./attributes.ts";
import { changing, type Entry } from "./entry.ts";

export const DATA: readonly Entry[] = [
  changing(FuseOpcode.WRITE, write),
  changing(FuseOpcode.COPY_FILE_RANGE, copyFileRange),
  changing(FuseOpcode.COPY_FILE_RANGE_64, copyFileRange),
];

/** A position from which Node's calls can write `bytes`; null: out of range. */
function positionIn(input: DataView, at: number, bytes: number): number | null {
  const position = getU64(input, at);
  return position <= Number.MAX_SAFE_INTEGER - bytes ? position : null;
}

/** May the guest write to it? */
function isWritable(file: OpenFile): boolean {
  return (file.flags & FUSE_O_ACCMODE) !== FUSE_O_RDONLY;
}

/**
 * The host writes straight from the guest's pages. With O_APPEND it writes at the current end of
 * the file, whatever position the guest has given.
 */
function write(changes: FileChanges, share: Share, request: FuseRequest, node: Node): number {
  const { arguments: input, reply } = request;
  const file = share.handles.get(getU64(input, FuseWriteIn.fh), node.id, false)?.file;
  if (!file || !isWritable(file)) return -Errno.EBADF;
  const size = input.getUint32(FuseWriteIn.size, true);
  if (size > DATA_BYTES_MAX || request.argumentBytes !== FuseWriteIn.sizeof + size) {
    return -Errno.EINVAL; // U13
  }
  const appends = (file.flags & FUSE_O_APPEND) !== 0;
  const end = () => Number(share.files.stat(node.inode).size);
  const position = appends ? end() : positionIn(input, FuseWriteIn.offset, size);
  if (position === null) return -Errno.EFBIG;
  if (size === 0) return putWritten(reply, 0);
  /** With O_APPEND others may have appended before it, which is shown as well. */
  const show = (written: number) => {
    if (share.window?.isMapped(node) !== true) return;
    share.window.changed(node, position, appends ? end() : position + written);
  };
  share.window?.writeBack(node);
  const restore = share.clearSetId(file);
  const start = FuseInHeader.sizeof + FuseWriteIn.sizeof;
  // Not if the guest can store into the file: it might do so between the copy and the write.
  const background = share.slow?.background;
  if (background?.wanted === true && share.window?.isWritable(node) !== true) {
    const bytes = new Uint8Array(size);
    request.chain.copyFrom(start, bytes);
    const reply = (written: number) => {
      show(written);
      const answer = new DataView(new ArrayBuffer(FuseWriteOut.sizeof));
      putWritten(answer, written);
      return new Uint8Array(answer.buffer);
    };
    background.write(request, file, bytes, position, reply, restore);
    return 0;
  }
  const views = request.chain.readable(start, size);
  const written = orUndo(() => changes.write(file.descriptor, views, position), restore);
  share.stats.bytesWritten += written;
  show(written);
  return putWritten(reply, written);
}

function putWritten(reply: DataView, bytes: number): number {
  putU64(reply, FuseWriteOut.size, bytes);
  return FuseWriteOut.sizeof;
}

/**
 * Copies as much as one request may move, by a read and a write; a short copy is legal. Limits are
 * checked for the whole range that the guest asked for, as far as the source has it.
 */
function copyFileRange(
  changes: FileChanges,
  share: Share,
  request: FuseRequest,
  node: Node,
): number {
  const { arguments: input, reply } = request;
  const target = share.nodes.get(getU64(input, FuseCopyFileRangeIn.nodeid_out));
  if (target === undefined) return -Errno.EBADF;
  const { handles, files } = share;
  const from = handles.get(getU64(input, FuseCopyFileRangeIn.fh_in), node.id, false)?.file;
  const to = handles.get(getU64(input, FuseCopyFileRangeIn.fh_out), target.id, false)?.file;
  if (!from || !to || !isWritable(to)) return -Errno.EBADF;
  if ((to.flags & FUSE_O_APPEND) !== 0) return -Errno.EBADF;
  if (input.getBigUint64(FuseCopyFileRangeIn.flags, true) !== 0n) return -Errno.EINVAL;
  const source = getU64(input, FuseCopyFileRangeIn.off_in);
  const position = getU64(input, FuseCopyFileRangeIn.off_out);
  const rest = Math.max(0, Number(files.stat(node.inode).size) - source);
  const asked = Math.min(getU64(input, FuseCopyFileRangeIn.len), rest);
  if (node === target && Math.abs(source - position) < asked) return -Errno.EINVAL;
  const length = Math.min(asked, DATA_BYTES_MAX);
  const last = Number.MAX_SAFE_INTEGER - length;
  if (source > last || position > last) return -Errno.EFBIG;
  share.window?.writeBack(node);
  share.window?.writeBack(target);
  const bytes = new Uint8Array(length);
  const got = files.read(from.descriptor, [bytes], source);
  if (got === 0) return putWritten(reply, 0);
  const part = [bytes.subarray(0, got)];
  const copied = orUndo(() => changes.write(to.descriptor, part, position), share.clearSetId(to));
  share.window?.changed(target, position, position + copied);
  return putWritten(reply, copied);
}
