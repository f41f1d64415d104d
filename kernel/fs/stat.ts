// What the file calls fill in for their callers.

/** Filled by SysStatFile and SysStatOpenFile; times are nanoseconds since 1970. */
@unmanaged
export class FileStat {
  ino: u64;
  size: u64;
  mtimeNs: i64;
  ctimeNs: i64;
  mode: u32; // type and permissions, as on Linux
  nlink: u32;
}

/** An entry of SysReadDirectory. Byte offsets; the name is padded with NUL to 8 bytes. */
export const enum DirectoryEntry {
  ino = 0, // u64
  type = 8, // u32, FuseType
  nameBytes = 12, // u32
  name = 16,
}

/** Field by field: for so few words a bulk copy costs more than they do. */
export function copyStat(to: FileStat, from: FileStat): void {
  to.ino = from.ino;
  to.size = from.size;
  to.mtimeNs = from.mtimeNs;
  to.ctimeNs = from.ctimeNs;
  to.mode = from.mode;
  to.nlink = from.nlink;
}
