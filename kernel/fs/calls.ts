// Toro's file calls.
import { Errno } from "../../drivers/abi/errno";

export function SysMount(tag: usize, tagBytes: u32, path: usize, pathBytes: u32): i32 {
  return -Errno.ENODEV;
}
export function SysOpenFile(path: usize, pathBytes: u32, flags: u32): i32 {
  return -Errno.ENOENT;
}
export function SysReadFile(file: i32, buffer: usize, length: u32): i32 {
  return -Errno.EBADF;
}
export function SysReadFileAt(file: i32, buffer: usize, length: u32, offset: u64): i32 {
  return -Errno.EBADF;
}
export function SysSeekFile(file: i32, offset: i64, whence: i32): i64 {
  return -Errno.EBADF;
}
export function SysStatFile(path: usize, pathBytes: u32, stat: usize): i32 {
  return -Errno.ENOENT;
}
export function SysStatOpenFile(file: i32, stat: usize): i32 {
  return -Errno.EBADF;
}
export function SysReadDirectory(file: i32, buffer: usize, length: u32): i32 {
  return -Errno.EBADF;
}
export function SysCloseFile(file: i32): i32 {
  return -Errno.EBADF;
}
