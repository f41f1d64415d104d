// Maps files as test/kernel/files/map.test.ts asks by letters, and leaves what the calls return in
// `results`, 64 bits each.
import { kernelParameter, parameterBytes } from "torito/kernel/commandline";
import {
  FileStat,
  MAP_WRITE,
  O_RDWR,
  SysCloseFile,
  SysMapFile,
  SysMount,
  SysOpenFile,
  SysStatFile,
  SysSyncFile,
  SysUnmapFile,
} from "torito/kernel/api";
import { ToroGetMem } from "torito/kernel/memory";
import { Sleep } from "torito/kernel/thread-calls";
import { spanAddress, text } from "torito/kernel/span";
import { thread } from "./harness";

export const results: usize = memory.data(64 * 8);
const SLOT: u32 = 65536;
const FILE = spanAddress(text("/file/sub"));
const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));
const name: usize = memory.data(2);
let count: u32 = 0;
let file: i32 = 0;
let last: i64 = 0;
let kept: i64 = 0;

function note(result: i64): void {
  store<i64>(results + 8 + (count++ << 3), result);
  store<u32>(results, count);
}

function open(letter: u32): i64 {
  store<u8>(name, 0x2f);
  store<u8>(name, letter, 1);
  file = SysOpenFile(name, 2, 0);
  return file > 0 ? 0 : file;
}

function map(offset: u64, length: u32, flags: u32): i64 {
  const address = SysMapFile(file, offset, length, flags);
  if (address >= 0) last = address;
  return address;
}

function step(letter: u32): i64 {
  const tag = kernelParameter("root");
  if (letter >= 0x41 && letter <= 0x5a) return open(letter); // A to Z: open that file
  if (letter >= 0x31 && letter <= 0x39) return map(0, (letter - 0x30) * SLOT, 0); // as many slots
  switch (letter) {
    case 0x6d: // m: mount
      return SysMount(tag, parameterBytes(tag), FILE, 1);
    case 0x66: // f: open /file
      file = SysOpenFile(FILE, 5, 0);
      return file > 0 ? 0 : file;
    case 0x64: // d: open the root
      file = SysOpenFile(FILE, 1, 0);
      return file > 0 ? 0 : file;
    case 0x62: // b: map 8 bytes after the first slot
      return map(SLOT + 4, 8, 0);
    case 0x73: // s: map the first slot to store to it
      return map(0, SLOT, MAP_WRITE);
    case 0x68: // h: open the file of the last letter to write it, too
      file = SysOpenFile(name, 2, O_RDWR);
      return file > 0 ? 0 : file;
    case 0x74: // t: store a word there
      store<u32>(<usize>last, 0x21736579);
      return 0;
    case 0x79: // y: wait for the disk
      return SysSyncFile(file, false);
    case 0x6e: // n: map nothing
      return SysMapFile(file, 0, 0, 0);
    case 0x6f: // o: map what no file has
      return SysMapFile(file, u64.MAX_VALUE, 2, 0);
    case 0x67: // g: map with a flag that is none
      return SysMapFile(file, 0, SLOT, 2);
    case 0x72: // r: the first four bytes there
      return <i64>load<u32>(<usize>last);
    case 0x6b: // k: keep the address
      kept = last;
      return 0;
    case 0x71: // q: the first four bytes at the one that was kept
      return <i64>load<u32>(<usize>kept);
    case 0x75: // u: unmap
      return SysUnmapFile(<usize>last);
    case 0x78: // x: unmap what is not mapped
      return SysUnmapFile(ToroGetMem(16)) + SysUnmapFile(0) + SysUnmapFile(usize.MAX_VALUE);
    case 0x63: // c: close
      return SysCloseFile(file);
    case 0x6a: // j: open /file for writing
      file = SysOpenFile(FILE, 5, O_RDWR);
      return file > 0 ? 0 : file;
    case 0x69: // i: when /file was written last
      return SysStatFile(FILE, 5, changetype<usize>(stat)) == 0 ? stat.mtimeNs : -1;
    case 0x65: // e: store 'e' to what is mapped
      store<u8>(<usize>last, 0x65);
      return 0;
    case 0x77: // w: let 1100 ms go by, more than attributes are valid
      Sleep(1100);
      return 0;
    case 0x3e: // >: the letters of `other` run in a thread of their own
      thread(script, kernelParameter("other"));
      return 0;
    default:
      assert(false, "files-map: no such letter");
      return 0;
  }
}

function script(letters: usize): void {
  for (let i: u32 = 0; i < parameterBytes(letters); i++) note(step(load<u8>(letters + i)));
}

export function test_script(): void {
  thread(script, kernelParameter("ops"));
}
