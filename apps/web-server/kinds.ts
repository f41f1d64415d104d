// The kind of a file: regular, a directory, or one that no server reads from.
import { FileStat } from "torito/kernel/api";

const S_IFMT: u32 = 0o170000;
const S_IFDIR: u32 = 0o040000;
const S_IFREG: u32 = 0o100000;

export function isFile(stat: FileStat): bool {
  return (stat.mode & S_IFMT) == S_IFREG;
}

export function isDirectory(stat: FileStat): bool {
  return (stat.mode & S_IFMT) == S_IFDIR;
}
