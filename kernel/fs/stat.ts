// The structures that file calls fill in for applications, and how long content can be cached.
import { NEVER, NS_PER_MS, nowNs, realtimeNs } from "../clock";

/**
 * Filled by SysStatFile and similar calls. Times are nanoseconds since 1970, negative before it,
 * clamped to 64 bits (1677 to 2262).
 */
@unmanaged
export class FileStat {
  ino: u64;
  size: u64;
  mtimeNs: i64;
  ctimeNs: i64;
  mode: u32; // type and permissions, as on Linux
  nlink: u32;
  atimeNs: i64;
  blocks: u64; // of 512 bytes
  uid: u32;
  gid: u32;
  rdev: u32;
  blockBytes: u32; // a good size for reads and writes
}

/** Filled by SysStatFileSystem. */
@unmanaged
export class FileSystemStat {
  blocks: u64; // of blockBytes
  freeBlocks: u64;
  availableBlocks: u64; // those of them that are not reserved for the host's administrator
  files: u64;
  freeFiles: u64;
  blockBytes: u32;
  nameBytesMax: u32;
}

/** An entry of SysReadDirectory. Byte offsets; the name is padded with NUL to 8 bytes. */
export const enum DirectoryEntry {
  ino = 0, // u64; 0xffffffff: not known
  type = 8, // u32, FuseType
  nameBytes = 12, // u32
  name = 16,
}

/**
 * Longer than many ticks of any host, and than the difference between its clock and the guest's.
 */
const RACY_NS: i64 = 100 * <i64>NS_PER_MS;

/**
 * Until when content that is about to be read from a file of that ctime may be cached, if size and
 * times stay the same. The host advances file times in ticks of up to 10 ms: a second change in the
 * tick of the ctime is invisible. So content that is read soon after the ctime is valid only until
 * the ctime is long past, and content that is read later is valid for ever. A ctime in the far
 * future is a wrong clock; in the near future it is a recent one, since the guest's clock stands
 * still while it runs.
 */
export function believedUntil(ctimeNs: i64): u64 {
  const ageNs = <i64>realtimeNs() - ctimeNs;
  return ageNs > -RACY_NS && ageNs < RACY_NS ? nowNs() + <u64>(RACY_NS - ageNs) : NEVER;
}

/** Field by field, which is faster than a bulk copy of so few words. */
export function copyStat(to: FileStat, from: FileStat): void {
  if (offsetof<FileStat>() != 72) ERROR("fs: copyStat copies every field");
  to.ino = from.ino;
  to.size = from.size;
  to.mtimeNs = from.mtimeNs;
  to.ctimeNs = from.ctimeNs;
  to.mode = from.mode;
  to.nlink = from.nlink;
  to.atimeNs = from.atimeNs;
  to.blocks = from.blocks;
  to.uid = from.uid;
  to.gid = from.gid;
  to.rdev = from.rdev;
  to.blockBytes = from.blockBytes;
}
