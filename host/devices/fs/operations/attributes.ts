// Attributes, directory entries and file system figures in FUSE's structures.
import {
  FUSE_NAME_BYTES_MAX,
  FuseAttr,
  FuseAttrOut,
  FuseEntryOut,
  FuseOpenOut,
  FuseStatfsOut,
} from "../../../../abi/fuse.ts";
import type { FileStat, FileSystemStat } from "../../../ports/files.ts";

/** Writes FuseEntryOut at `at`; the guest may cache it for validMs. */
export function putEntry(
  view: DataView,
  at: number,
  nodeid: number,
  stat: FileStat,
  validMs: number,
): void {
  putU64(view, at + FuseEntryOut.nodeid, nodeid);
  putU64(view, at + FuseEntryOut.generation, 0);
  putValid(view, at + FuseEntryOut.entry_valid, at + FuseEntryOut.entry_valid_nsec, validMs);
  putValid(view, at + FuseEntryOut.attr_valid, at + FuseEntryOut.attr_valid_nsec, validMs);
  putAttr(view, at + FuseEntryOut.attr, stat);
}

/** Writes FuseOpenOut at `at`; returns its bytes. */
export function putOpen(view: DataView, at: number, fh: number): number {
  putU64(view, at + FuseOpenOut.fh, fh);
  putU64(view, at + FuseOpenOut.open_flags, 0);
  return FuseOpenOut.sizeof;
}

/** Writes the FuseAttrOut that is the whole reply; returns its bytes. */
export function putAttributes(view: DataView, stat: FileStat, validMs: number): number {
  putValid(view, FuseAttrOut.attr_valid, FuseAttrOut.attr_valid_nsec, validMs);
  view.setUint32(FuseAttrOut.attr_valid_nsec + 4, 0, true);
  putAttr(view, FuseAttrOut.attr, stat);
  return FuseAttrOut.sizeof;
}

/** Seconds at `at`, the rest in nanoseconds at `nsecAt`. */
export function putValid(view: DataView, at: number, nsecAt: number, validMs: number): void {
  putU64(view, at, Math.floor(validMs / 1000));
  view.setUint32(nsecAt, (validMs % 1000) * 1_000_000, true);
}

export function putAttr(view: DataView, at: number, stat: FileStat): void {
  view.setBigUint64(at + FuseAttr.ino, stat.ino, true);
  view.setBigUint64(at + FuseAttr.size, stat.size, true);
  view.setBigUint64(at + FuseAttr.blocks, stat.blocks, true);
  putTime(view, at + FuseAttr.atime, at + FuseAttr.atimensec, stat.atimeNs);
  putTime(view, at + FuseAttr.mtime, at + FuseAttr.mtimensec, stat.mtimeNs);
  putTime(view, at + FuseAttr.ctime, at + FuseAttr.ctimensec, stat.ctimeNs);
  view.setUint32(at + FuseAttr.mode, Number(stat.mode), true);
  view.setUint32(at + FuseAttr.nlink, Number(stat.nlink), true);
  view.setUint32(at + FuseAttr.uid, Number(stat.uid), true);
  view.setUint32(at + FuseAttr.gid, Number(stat.gid), true);
  view.setUint32(at + FuseAttr.rdev, Number(stat.rdev), true);
  view.setUint32(at + FuseAttr.blksize, Number(stat.blksize), true);
  view.setUint32(at + FuseAttr.flags, 0, true);
}

export function putStatfs(view: DataView, at: number, stat: FileSystemStat): void {
  view.setBigUint64(at + FuseStatfsOut.blocks, stat.blocks, true);
  view.setBigUint64(at + FuseStatfsOut.bfree, stat.bfree, true);
  view.setBigUint64(at + FuseStatfsOut.bavail, stat.bavail, true);
  view.setBigUint64(at + FuseStatfsOut.files, stat.files, true);
  view.setBigUint64(at + FuseStatfsOut.ffree, stat.ffree, true);
  view.setUint32(at + FuseStatfsOut.bsize, Number(stat.bsize), true);
  // Node supplies neither of the next two.
  view.setUint32(at + FuseStatfsOut.namelen, FUSE_NAME_BYTES_MAX, true);
  view.setUint32(at + FuseStatfsOut.frsize, Number(stat.bsize), true);
}

/** A count that fits a double, as u64. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true); // takes the value modulo 2^32
  view.setUint32(at + 4, Math.floor(value / 0x100000000), true);
}

/** u64 as a number; exact up to 2^53. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x100000000 + view.getUint32(at, true);
}

function putTime(view: DataView, at: number, nsecAt: number, ns: bigint): void {
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n; // also before 1970
  view.setBigInt64(at, (ns - rest) / 1_000_000_000n, true);
  view.setUint32(nsecAt, Number(rest), true);
}
