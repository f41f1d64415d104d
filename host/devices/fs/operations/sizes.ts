// Sizes of the operations that change something, or map files: of the arguments, at least, and of
// the reply's fixed part. A device that does none of them checks them all the same.
import { FuseAttrOut, FuseEntryOut, FuseOpcode, FuseOpenOut } from "../../../../abi/fuse.ts";
import { FuseRemovemappingIn, FuseSetupmappingIn } from "../../../../abi/fuse-window.ts";
import {
  FuseCopyFileRangeIn,
  FuseCreateIn,
  FuseLinkIn,
  FuseMkdirIn,
  FuseMknodIn,
  FuseRename2In,
  FuseRenameIn,
  FuseSetattrIn,
  FuseWriteIn,
  FuseWriteOut,
} from "../../../../abi/fuse-write.ts";

/** Arguments, reply. */
export type Sizes = readonly [argumentBytes: number, replyBytes: number];

/** Answered with EROFS if the guest may only read. A name takes two bytes at least. */
export const CHANGE_SIZES: Readonly<Record<number, Sizes>> = {
  [FuseOpcode.SETATTR]: [FuseSetattrIn.sizeof, FuseAttrOut.sizeof],
  [FuseOpcode.CREATE]: [FuseCreateIn.sizeof + 2, FuseEntryOut.sizeof + FuseOpenOut.sizeof],
  [FuseOpcode.MKNOD]: [FuseMknodIn.sizeof + 2, FuseEntryOut.sizeof],
  [FuseOpcode.MKDIR]: [FuseMkdirIn.sizeof + 2, FuseEntryOut.sizeof],
  [FuseOpcode.SYMLINK]: [4, FuseEntryOut.sizeof],
  [FuseOpcode.LINK]: [FuseLinkIn.sizeof + 2, FuseEntryOut.sizeof],
  [FuseOpcode.UNLINK]: [2, 0],
  [FuseOpcode.RMDIR]: [2, 0],
  [FuseOpcode.RENAME]: [FuseRenameIn.sizeof + 4, 0],
  [FuseOpcode.RENAME2]: [FuseRename2In.sizeof + 4, 0],
  [FuseOpcode.WRITE]: [FuseWriteIn.sizeof, FuseWriteOut.sizeof],
  [FuseOpcode.COPY_FILE_RANGE]: [FuseCopyFileRangeIn.sizeof, FuseWriteOut.sizeof],
  [FuseOpcode.COPY_FILE_RANGE_64]: [FuseCopyFileRangeIn.sizeof, FuseWriteOut.sizeof],
  // Node has no call for these. After ENOSYS the guest stops asking (U3).
  [FuseOpcode.FALLOCATE]: [0, 0],
  [FuseOpcode.SETXATTR]: [0, 0],
  [FuseOpcode.REMOVEXATTR]: [0, 0],
  [FuseOpcode.TMPFILE]: [0, 0],
};

/** Answered with ENOSYS without a window. */
export const MAPPING_SIZES: Readonly<Record<number, Sizes>> = {
  [FuseOpcode.SETUPMAPPING]: [FuseSetupmappingIn.sizeof, 0],
  [FuseOpcode.REMOVEMAPPING]: [FuseRemovemappingIn.sizeof, 0],
};
