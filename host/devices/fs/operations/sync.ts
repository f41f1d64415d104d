// FLUSH, FSYNC and FSYNCDIR. Each of them first writes back what the guest has stored into the
// window.
import { Errno } from "../../../../abi/errno.ts";
import { FuseFlushIn, FuseFsyncIn, FuseOpcode } from "../../../../abi/fuse.ts";
import { FUSE_FSYNC_FDATASYNC } from "../../../../abi/fuse-write.ts";
import { errnoOf } from "../errno.ts";
import type { Node } from "../nodes/node.ts";
import type { FuseRequest } from "../request.ts";
import type { Share } from "../share.ts";
import { getU64 } from "./attributes.ts";
import { type Entry, reading, type Serve } from "./entry.ts";

export const SYNCS: readonly Entry[] = [
  reading(FuseOpcode.FLUSH, FuseFlushIn.sizeof, 0, flush),
  reading(FuseOpcode.FSYNC, FuseFsyncIn.sizeof, 0, fsync(false)),
  reading(FuseOpcode.FSYNCDIR, FuseFsyncIn.sizeof, 0, fsync(true)),
];

/** Writes back the window, if the handle is valid. Nothing else is cached. */
function flush(share: Share, request: FuseRequest, node: Node): number {
  const fh = getU64(request.arguments, FuseFlushIn.fh);
  if (share.handles.get(fh, node.id, false) === undefined) return -Errno.EBADF;
  share.window?.writeBack(node);
  return 0;
}

/**
 * U24: answered by the thread pool once the data is on disk; other requests go on meanwhile. On a
 * read-only share there is nothing to wait for.
 */
function fsync(directory: boolean): Serve {
  return (share, request, node) => {
    const { arguments: input } = request;
    const { changes, handles, slow } = share;
    const handle = handles.get(getU64(input, FuseFsyncIn.fh), node.id, directory);
    if (handle === undefined) return -Errno.EBADF;
    if (changes === null || slow === null) return 0;
    const flags = input.getUint32(FuseFsyncIn.fsync_flags, true);
    share.window?.writeBack(node);
    const { file } = handle;
    if (file !== null) handles.begin(file);
    const answer = request.detach();
    slow.syncs.add({
      begin(done) {
        if (file !== null) {
          changes.sync(file.descriptor, (flags & FUSE_FSYNC_FDATASYNC) !== 0, done);
        } else if (share.nodes.get(node.id) === node) {
          changes.syncDirectory(node.inode, done);
        } else {
          // its number may be reused
          throw Object.assign(new Error("forgotten"), { code: "EBADF" });
        }
      },
      end(error) {
        if (file !== null) handles.end(file);
        answer(error === null ? 0 : errnoOf(error));
      },
    });
    return 0;
  };
}
