// What the kernel tells of a file.

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
