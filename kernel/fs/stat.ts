// What the file calls fill in for their callers, and how long it can be relied on.
import { NEVER, NS_PER_MS, nowNs, realtimeNs } from "../clock";

/**
 * Filled by SysStatFile and its kin; times are nanoseconds since 1970, negative before it, and end
 * where 64 bits do (1677 and 2262).
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
  availableBlocks: u64; // of them for others than the host's administrator
  files: u64;
  freeFiles: u64;
  blockBytes: u32;
  nameBytesMax: u32;
}

/** An entry of SysReadDirectory. Byte offsets; the name is padded with NUL to 8 bytes. */
export const enum DirectoryEntry {
  ino = 0, // u64
  type = 8, // u32, FuseType
  nameBytes = 12, // u32
  name = 16,
}

/** Many ticks of any host, and more than its clock and the guest's differ by. */
const RACY_NS: i64 = 100 * <i64>NS_PER_MS;

/**
 * Until when content may be believed that is about to be read from a file of that ctime, as long as
 * size and times stay. The host keeps the times of files by ticks of up to 10 ms: what changes a
 * second time in the tick of its ctime looks as it did before. So content that is read so soon is
 * believed only until the ctime is long past, and what is read then is believed for ever. A ctime
 * in the future is a clock that is wrong, unless it is near: the guest's stands still as it runs.
 */
export function believedUntil(ctimeNs: i64): u64 {
  const ageNs = <i64>realtimeNs() - ctimeNs;
  return ageNs > -RACY_NS && ageNs < RACY_NS ? nowNs() + <u64>(RACY_NS - ageNs) : NEVER;
}

/** Field by field: for so few words a bulk copy costs more than they do. */
export function copyStat(to: FileStat, from: FileStat): void {
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
