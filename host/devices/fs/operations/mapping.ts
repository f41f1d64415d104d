// SETUPMAPPING and REMOVEMAPPING (virtio 5.11.6.4): checks of requests for the DAX window (U23).
import { Errno } from "../../../../abi/errno.ts";
import {
  FUSE_O_ACCMODE,
  FUSE_O_RDONLY,
  FUSE_O_WRONLY,
  FuseOpcode,
  FuseType,
} from "../../../../abi/fuse.ts";
import {
  FS_REMOVEMAPPING_MAX,
  FuseRemovemappingIn,
  FuseRemovemappingOne,
  FuseSetupmappingFlag,
  FuseSetupmappingIn,
} from "../../../../abi/fuse-window.ts";
import type { Node } from "../nodes/node.ts";
import { withoutSetId } from "../nodes/set-id.ts";
import type { FuseRequest } from "../request.ts";
import type { Share } from "../share.ts";
import { SLOT_BYTES } from "../window/slots.ts";
import { getU64 } from "./attributes.ts";
import { type Entry, reading } from "./entry.ts";
import { MAPPING_SIZES, type Sizes } from "./sizes.ts";

const sizesOf = (opcode: FuseOpcode): Sizes => MAPPING_SIZES[opcode] as Sizes;

export const MAPPINGS: readonly Entry[] = [
  reading(FuseOpcode.SETUPMAPPING, ...sizesOf(FuseOpcode.SETUPMAPPING), setupMapping),
  reading(FuseOpcode.REMOVEMAPPING, ...sizesOf(FuseOpcode.REMOVEMAPPING), removeMapping),
];

const ALL_ONES = 0xffffffffffffffffn;
const READ = 1n << BigInt(FuseSetupmappingFlag.READ);
const WRITE = 1n << BigInt(FuseSetupmappingFlag.WRITE);
/** Up to here Node's calls accept offsets as numbers. */
const OFFSET_MAX = 2 ** 52;

function setupMapping(share: Share, request: FuseRequest, node: Node): number {
  const { window, changes, files } = share;
  const { arguments: input } = request;
  if (window === null) return -Errno.ENOSYS;
  const flags = input.getBigUint64(FuseSetupmappingIn.flags, true);
  if (flags === 0n || (flags & ~(READ | WRITE)) !== 0n) return -Errno.EINVAL;
  const forWriting = (flags & WRITE) !== 0n;
  const bytes = getU64(input, FuseSetupmappingIn.len);
  const at = getU64(input, FuseSetupmappingIn.moffset);
  if (!isInside(at, bytes, window.bytes)) return -Errno.EINVAL;
  const offset = getU64(input, FuseSetupmappingIn.foffset);
  if (offset % SLOT_BYTES !== 0) return -Errno.EINVAL;
  if (offset > OFFSET_MAX) return -Errno.EOVERFLOW;
  if (node.type === FuseType.DIR) return -Errno.EISDIR;
  if (node.type !== FuseType.REG) return -Errno.EACCES; // never opened (U9)
  if (forWriting && changes === null) return -Errno.EROFS;
  // Without a handle the host's permissions decide, as they do for Linux, which never has one here.
  if (input.getBigUint64(FuseSetupmappingIn.fh, true) !== ALL_ONES) {
    const fh = getU64(input, FuseSetupmappingIn.fh);
    const file = share.handles.get(fh, node.id, false)?.file;
    if (file === null || file === undefined) return -Errno.EBADF;
    const access = file.flags & FUSE_O_ACCMODE;
    if (access === FUSE_O_WRONLY) return -Errno.EACCES; // mapping reads the file
    if (forWriting && access === FUSE_O_RDONLY) return -Errno.EACCES;
  }
  const map = () => window.map(node, offset, bytes, at, forWriting);
  if (changes !== null && forWriting) withoutSetId(changes, files, node, map);
  else map();
  return 0;
}

/** Checks all ranges before it removes the first. The node does not matter. */
function removeMapping(share: Share, request: FuseRequest): number {
  const { window } = share;
  const { arguments: input } = request;
  if (window === null) return -Errno.ENOSYS;
  const count = input.getUint32(FuseRemovemappingIn.count, true);
  if (count < 1 || count > FS_REMOVEMAPPING_MAX) return -Errno.EINVAL;
  const expected = FuseRemovemappingIn.sizeof + count * FuseRemovemappingOne.sizeof;
  if (request.argumentBytes !== expected) return -Errno.EINVAL;
  const ranges = Array.from({ length: count }, (_, i) => {
    const one = FuseRemovemappingIn.sizeof + i * FuseRemovemappingOne.sizeof;
    const at = getU64(input, one + FuseRemovemappingOne.moffset);
    const everything = input.getBigUint64(one + FuseRemovemappingOne.len, true) === ALL_ONES;
    const bytes = getU64(input, one + FuseRemovemappingOne.len);
    return { at, bytes: everything && at === 0 ? window.bytes : bytes };
  });
  if (!ranges.every(({ at, bytes }) => isInside(at, bytes, window.bytes))) return -Errno.EINVAL;
  for (const { at, bytes } of ranges) window.unmap(at, bytes);
  return 0;
}

/** F14. Numbers beyond 2^53 are not exact, but out of range anyway. */
function isInside(at: number, bytes: number, windowBytes: number): boolean {
  if (bytes === 0 || at % SLOT_BYTES !== 0 || bytes % SLOT_BYTES !== 0) return false;
  return at + bytes <= windowBytes;
}
