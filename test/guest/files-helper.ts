// The basis of the tests of file calls: names as bytes, the calls by name, and patterns. The
// directory that they expect is made by test/kernel/files/calls.test.ts.
import { FuseType } from "torito/abi/fuse";
import {
  DirectoryEntry,
  FileStat,
  SEEK_SET,
  SysMount,
  SysOpenFile,
  SysReadDirectory,
  SysSeekFile,
  SysStatFile,
} from "torito/kernel/api";
import { findMount } from "torito/kernel/fs/mount";
import { FileSystem } from "torito/kernel/fs/node";
import { Session } from "torito/kernel/fuse/session";
import { mark, thread } from "./harness";

export const buffer: usize = memory.data(4096);
export const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const paths: usize = memory.data(8 * 512);
let nextPath: u32 = 0;
let pathBytes: u32 = 0;

/** The bytes of an ASCII string, good for the next seven calls; their number is in pathBytes. */
export function path(text: string): usize {
  const at = paths + (nextPath++ & 7) * 512;
  pathBytes = text.length;
  for (let i = 0; i < text.length; i++) store<u8>(at + i, text.charCodeAt(i));
  return at;
}

export function mountAt(tag: string, where: string): i32 {
  const t = path(tag);
  const bytes = pathBytes;
  const p = path(where);
  return SysMount(t, bytes, p, pathBytes);
}

export function look(name: string): i32 {
  const p = path(name);
  return SysStatFile(p, pathBytes, changetype<usize>(stat));
}

export function open(name: string, flags: u32 = 0): i32 {
  const p = path(name);
  return SysOpenFile(p, pathBytes, flags);
}

/** The file system that is mounted at the root. */
export function fileSystem(): FileSystem {
  const root = path("/");
  return findMount(root, root + 1).fs;
}

export function session(): Session {
  return fileSystem().session;
}

/** Requests that the host has got. */
export function requests(): u64 {
  return session().unique;
}

/** Runs the test as a thread with the file system mounted. */
export function mounted(body: (arg: usize) => void): void {
  thread((index: usize): void => {
    assert(mountAt("site", "/") == 0);
    call_indirect<void>(<u32>index, 0);
  }, body.index);
}

export function isText(at: usize, text: string): bool {
  for (let i = 0; i < text.length; i++) {
    if (<i32>load<u8>(at + i) != text.charCodeAt(i)) return false;
  }
  return true;
}

export function patternAt(offset: u32): u32 {
  return (offset * 7 + (offset >> 8)) & 0xff;
}

export function isPattern(at: usize, offset: u32, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    if (<u32>load<u8>(at + i) != patternAt(offset + i)) return false;
  }
  return true;
}

/** Counts the entries from the start and adds up their name lengths in the upper half. */
export function list(directory: i32, room: u32): i32 {
  let entries = 0;
  assert(SysSeekFile(directory, 0, SEEK_SET) == 0);
  while (true) {
    const got = SysReadDirectory(directory, buffer, room);
    if (got < 0) return got;
    if (got == 0) return entries;
    for (let at = buffer; at < buffer + got; entries++) {
      const bytes = load<u32>(at, DirectoryEntry.nameBytes);
      const name = at + DirectoryEntry.name;
      if (bytes == 5 && isText(name, "b.txt")) {
        mark(1);
        assert(load<u32>(at, DirectoryEntry.type) == FuseType.REG);
        assert(load<u64>(at, DirectoryEntry.ino) != 0);
        assert(load<u8>(name, 5) == 0 && load<u8>(name, 7) == 0);
      }
      if (bytes == 3 && isText(name, "sub")) {
        mark(2);
        assert(load<u32>(at, DirectoryEntry.type) == FuseType.DIR);
      }
      at = name + ((bytes + 7) & ~7);
    }
  }
}
