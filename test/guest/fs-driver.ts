// Runs the file calls that test/drivers/fs/driver.test.ts asks for by letters, against its scripted
// device, and leaves what they return in `results`.
import { kernelParameter, parameterBytes } from "torito/kernel/commandline";
import {
  SEEK_SET,
  SysCloseFile,
  SysMount,
  SysOpenFile,
  SysReadDirectory,
  SysReadFile,
  SysSeekFile,
  SysStatFile,
  SysStatOpenFile,
} from "torito/kernel/api";
import { Sleep, SysKillThread } from "torito/kernel/thread-calls";
import { spanAddress, text } from "torito/kernel/span";
import { thread } from "./harness";

export const results: usize = memory.data(64 * 4);
/** Handles, positive whatever their number, are shown as this. */
const HANDLE: i32 = 1_000_000;
const stat: usize = memory.data(96);
export const buffer: usize = memory.data(8192);
const FILE = spanAddress(text("/file"));
const LINK = spanAddress(text("/link"));
const SUB = spanAddress(text("/sub"));
let count: u32 = 0;
let file: i32 = 0;
let other: i32 = 0;

function note(result: i32): void {
  store<i32>(results + 4 + (count++ << 2), result);
  store<u32>(results, count);
}

function step(letter: u32): i32 {
  const tag = kernelParameter("root");
  switch (letter) {
    case 0x6d: // m: mount
      return SysMount(tag, parameterBytes(tag), FILE, 1);
    case 0x73: // s: stat of /file
      return SysStatFile(FILE, 5, stat);
    case 0x53: // S: stat of /sub
      return SysStatFile(SUB, 4, stat);
    case 0x4c: // L: stat of /link
      return SysStatFile(LINK, 5, stat);
    case 0x6f: // o: open /file
      file = SysOpenFile(FILE, 5, 0);
      return file > 0 ? HANDLE : file;
    case 0x64: // d: open the root
      file = SysOpenFile(FILE, 1, 0);
      return file > 0 ? HANDLE : file;
    case 0x72: // r: read
      return SysReadFile(file, buffer, 8192);
    case 0x7a: // z: back to the start
      return <i32>SysSeekFile(file, 0, SEEK_SET);
    case 0x74: // t: stat of the open file
      return SysStatOpenFile(file, stat);
    case 0x6c: // l: list
      return SysReadDirectory(file, buffer, 4096);
    case 0x63: // c: close
      return SysCloseFile(file);
    case 0x77: // w: let 100 ms go by
      Sleep(100);
      return 0;
    case 0x6b: // k: kill the other thread
      return SysKillThread(other);
    case 0x3e: // >: the following letters run in a thread of their own
      other = thread(script, kernelParameter("then"));
      return 0;
    default:
      assert(false, "fs-driver: no such letter");
      return 0;
  }
}

function script(letters: usize): void {
  for (let i: u32 = 0; i < parameterBytes(letters); i++) note(step(load<u8>(letters + i)));
}

export function test_script(): void {
  thread(script, kernelParameter("ops"));
}
