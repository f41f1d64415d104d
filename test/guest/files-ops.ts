// Lets a test on the host make the file calls one by one: each runs in a thread of its own, and its
// result stands in memory when it has returned.
import {
  SysAccessFile,
  SysCloseFile,
  SysCopyFile,
  SysCreateDir,
  SysCreateFile,
  SysLink,
  SysMapFile,
  SysMount,
  SysOpenFile,
  SysReadDirectory,
  SysReadFile,
  SysReadFileAt,
  SysReadLink,
  SysReadVector,
  SysRemoveDir,
  SysRename,
  SysSeekFile,
  SysSetMode,
  SysSetOwner,
  SysSetTimes,
  SysStatFile,
  SysStatFileSystem,
  SysStatLink,
  SysStatOpenFile,
  SysSymlink,
  SysSyncFile,
  SysTruncateFile,
  SysTruncateOpenFile,
  SysUnlink,
  SysUnmapFile,
  SysWriteFile,
  SysWriteFileAt,
  SysWriteVector,
} from "torito/kernel/api";
import { fileSystem } from "./files-helper";
import { thread } from "./harness";

export { inUse } from "./harness";
export { heapBlocks } from "./books";
export { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
export { openFiles } from "torito/kernel/fs/file";
export { SysKillThread, SysResumeThread, SysSuspendThread } from "torito/kernel/thread-calls";

/** In the order of CALLS in test/support/file-guest.ts. */
const enum Op {
  Mount,
  OpenFile,
  CreateFile,
  CloseFile,
  ReadFile,
  ReadFileAt,
  ReadVector,
  WriteFile,
  WriteFileAt,
  WriteVector,
  CopyFile,
  SyncFile,
  SeekFile,
  ReadDirectory,
  CreateDir,
  RemoveDir,
  Unlink,
  Rename,
  Link,
  Symlink,
  ReadLink,
  StatFile,
  StatLink,
  StatOpenFile,
  StatFileSystem,
  TruncateFile,
  TruncateOpenFile,
  SetMode,
  SetOwner,
  SetTimes,
  AccessFile,
  MapFile,
  UnmapFile,
}

@unmanaged
class Call {
  result: i64;
  a: u64;
  b: u64;
  c: u64;
  d: u64;
  e: u64;
  done: u32;
  thread: i32;
  op: Op;
}

// Records are used in a circle, so that calls leave nothing on the heap.
const RECORDS: u32 = 256;
const records: usize = memory.data(256 * 64, 8);
let next: u32 = 0;

/** Returns the address of the call's record: result i64, ..., done u32 at 48, thread i32 at 52. */
export function start(op: u32, a: u64, b: u64, c: u64, d: u64, e: u64): usize {
  const call = changetype<Call>(records + (next++ % RECORDS) * offsetof<Call>());
  call.done = 0;
  call.op = op;
  call.a = a;
  call.b = b;
  call.c = c;
  call.d = d;
  call.e = e;
  call.thread = thread(perform, changetype<usize>(call));
  return changetype<usize>(call);
}

function perform(arg: usize): void {
  const call = changetype<Call>(arg);
  call.result = dispatch(call);
  call.done = 1;
}

/** Names that the guest knows of the file system "site". */
export function knownNodes(): u32 {
  return fileSystem().count;
}

function dispatch(call: Call): i64 {
  const a = <u32>call.a;
  const b = <u32>call.b;
  const c = <u32>call.c;
  const d = <u32>call.d;
  switch (call.op) {
    case Op.Mount:
      return SysMount(a, b, c, d);
    case Op.OpenFile:
      return SysOpenFile(a, b, c);
    case Op.CreateFile:
      return SysCreateFile(a, b, c);
    case Op.CloseFile:
      return SysCloseFile(a);
    case Op.ReadFile:
      return SysReadFile(a, b, c);
    case Op.ReadFileAt:
      return SysReadFileAt(a, b, c, call.d);
    case Op.ReadVector:
      return SysReadVector(a, b, c);
    case Op.WriteFile:
      return SysWriteFile(a, b, c);
    case Op.WriteFileAt:
      return SysWriteFileAt(a, b, c, call.d);
    case Op.WriteVector:
      return SysWriteVector(a, b, c);
    case Op.CopyFile:
      return SysCopyFile(a, call.b, c, call.d, <u32>call.e);
    case Op.SyncFile:
      return SysSyncFile(a, b != 0);
    case Op.SeekFile:
      return SysSeekFile(a, call.b, c);
    case Op.ReadDirectory:
      return SysReadDirectory(a, b, c);
    case Op.CreateDir:
      return SysCreateDir(a, b, c);
    case Op.RemoveDir:
      return SysRemoveDir(a, b);
    case Op.Unlink:
      return SysUnlink(a, b);
    case Op.Rename:
      return SysRename(a, b, c, d, <u32>call.e);
    case Op.Link:
      return SysLink(a, b, c, d);
    case Op.Symlink:
      return SysSymlink(a, b, c, d);
    case Op.ReadLink:
      return SysReadLink(a, b, c, d);
    case Op.StatFile:
      return SysStatFile(a, b, c);
    case Op.StatLink:
      return SysStatLink(a, b, c);
    case Op.StatOpenFile:
      return SysStatOpenFile(a, b);
    case Op.StatFileSystem:
      return SysStatFileSystem(a, b, c);
    case Op.TruncateFile:
      return SysTruncateFile(a, b, call.c);
    case Op.TruncateOpenFile:
      return SysTruncateOpenFile(a, call.b);
    case Op.SetMode:
      return SysSetMode(a, b, c);
    case Op.SetOwner:
      return SysSetOwner(a, b, c, d);
    case Op.SetTimes:
      return SysSetTimes(a, b, call.c, call.d);
    case Op.AccessFile:
      return SysAccessFile(a, b, c);
    case Op.MapFile:
      return SysMapFile(a, call.b, c, d);
    case Op.UnmapFile:
      return SysUnmapFile(a);
    default:
      assert(false, "files: no such call");
      return 0;
  }
}
