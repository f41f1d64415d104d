// The file system against the real device: test/files.test.ts makes the directory that these expect.
import { FuseType } from "../../drivers/abi/fuse";
import { Errno } from "../../drivers/abi/errno";
import { findFsDriver } from "../../drivers/fs";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  SysCloseFile,
  SysMount,
  SysOpenFile,
  SysReadDirectory,
  SysReadFile,
  SysReadFileAt,
  SysSeekFile,
  SysStatFile,
  SysStatOpenFile,
} from "../../kernel/fs/calls";
import { Session } from "../../kernel/fs/node";
import { DirectoryEntry, FileStat } from "../../kernel/fs/stat";
import { ToroFreeMem, ToroGetMem } from "../../kernel/memory";
import { BeginThread, Sleep, SysKillThread, SysThreadSwitch } from "../../kernel/process";
import { inUse, mark, marks, thread } from "./harness";

export { boot, interrupt, run, unfinished } from "./harness";

const VALID_MS: u32 = 1000; // as files.test.ts tells the device
const BIG: u32 = 3 * 1024 * 1024 + 5;
const GIB: u64 = 1 << 30;
const buffer: usize = memory.data(4096);
const stat = changetype<FileStat>(memory.data(48));
const paths: usize = memory.data(8 * 512);
let nextPath: u32 = 0;
let pathBytes: u32 = 0;

/** The bytes of an ASCII string, good for the next seven calls; their number is in pathBytes. */
function path(text: string): usize {
  const at = paths + (nextPath++ & 7) * 512;
  pathBytes = text.length;
  for (let i = 0; i < text.length; i++) store<u8>(at + i, text.charCodeAt(i));
  return at;
}

function mountAt(tag: string, where: string): i32 {
  const t = path(tag);
  const bytes = pathBytes;
  const p = path(where);
  return SysMount(t, bytes, p, pathBytes);
}

function look(name: string): i32 {
  const p = path(name);
  return SysStatFile(p, pathBytes, changetype<usize>(stat));
}

function open(name: string, flags: u32 = 0): i32 {
  const p = path(name);
  return SysOpenFile(p, pathBytes, flags);
}

/** Requests that the host has got. */
function requests(): u64 {
  const tag = path("site");
  return findFsDriver(tag, pathBytes)!.unique;
}

/** Runs the test as a thread with the file system mounted. */
function mounted(body: (arg: usize) => void): void {
  thread((index: usize): void => {
    assert(mountAt("site", "/") == 0);
    call_indirect<void>(<u32>index, 0);
  }, body.index);
}

function isText(at: usize, text: string): bool {
  for (let i = 0; i < text.length; i++) {
    if (<i32>load<u8>(at + i) != text.charCodeAt(i)) return false;
  }
  return true;
}

function patternAt(offset: u32): u32 {
  return (offset * 7 + (offset >> 8)) & 0xff;
}

function isPattern(at: usize, offset: u32, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) {
    if (<u32>load<u8>(at + i) != patternAt(offset + i)) return false;
  }
  return true;
}

export function test_mounting_what_is_not_there_or_twice_is_an_error(): void {
  thread((_: usize): void => {
    assert(look("/hello.txt") == -Errno.ENOENT);
    assert(mountAt("nothing", "/") == -Errno.ENODEV);
    assert(mountAt("", "/") == -Errno.EINVAL);
    assert(mountAt("site", "") == -Errno.EINVAL);
    assert(mountAt("site", "data") == -Errno.EINVAL);
    assert(mountAt("site", "/data/") == -Errno.EINVAL);
    assert(mountAt("site", "/a//b") == -Errno.EINVAL);
    assert(mountAt("site", "/a/..") == -Errno.EINVAL);
    assert(mountAt("site", "/") == 0);
    assert(mountAt("site", "/") == -Errno.EBUSY);
    assert(mountAt("site", "/one") == 0);
    assert(mountAt("site", "/three.x/four") == 0);
    for (let i = 0; i < 5; i++) mountAt("site", "/m" + <string>changetype<string>(0) ? "/m" : "/m");
  });
}
