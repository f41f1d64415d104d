// File calls by the thousand, each kind timed as the guest sees it. The host starts one with run(),
// and reads what it took when it is done.
import { clock } from "torito/kernel/hypercall";
import {
  FileStat,
  SysCloseFile,
  SysMount,
  SysOpenFile,
  SysReadDirectory,
  SysReadFileAt,
  SysStatOpenFile,
  SysWriteFileAt,
} from "torito/kernel/api";
import { spanAddress, text } from "torito/kernel/span";
import { ToroGetAlignedMem, ToroGetMem } from "torito/kernel/memory";
import { BeginThread } from "torito/kernel/thread-calls";

/** Kinds of work for begin(). */
const enum Kind {
  Read,
  Write,
  OpenStatClose,
  ReadDirectory,
}

const O_RDWR: u32 = 2;
const BLOCK_BYTES_MAX: u32 = 1 << 20;
const LIST_BYTES: u32 = 65536;
const TAG = spanAddress(text("dir"));
const ROOT = spanAddress(text("/")); // the mount's path
const DATA = spanAddress(text("/data")); // the large file
const LIST = spanAddress(text("/list")); // the large directory

let buffer: usize = 0;
let name: usize = 0;
let kind: Kind = Kind.Read;
let block: u32 = 0;
let blocks: u32 = 0;
let isRandom: bool = false;
let count: u32 = 0;
const tookNs: usize = memory.data(8, 8); // of the last run; -1: it goes on

/** Mounts the directory. took() is -1 until that is done. */
export function prepare(): void {
  store<i64>(tookNs, -1);
  BeginThread(setUp, 0, 0);
}

function setUp(_: usize): void {
  buffer = ToroGetAlignedMem(BLOCK_BYTES_MAX, 4096);
  name = ToroGetMem(16);
  assert(buffer != 0 && name != 0, "files: no memory");
  assert(SysMount(TAG, 3, ROOT, 1) == 0, "files: mount");
  memory.fill(buffer, 0x5a, BLOCK_BYTES_MAX);
  store<i64>(tookNs, 0);
}

/** Where the nanoseconds of the last run are; -1: it goes on. */
export function took(): usize {
  return tookNs;
}

/** `number` operations on blocks of `bytes`, of which the file has `inFile`, in order or not. */
export function begin(what: i32, bytes: u32, inFile: u32, random: i32, number: u32): void {
  kind = <Kind>what;
  block = bytes;
  blocks = inFile;
  isRandom = random != 0;
  count = number;
  store<i64>(tookNs, -1);
  BeginThread(measure, 0, 0);
}

function measure(_: usize): void {
  const started = clock();
  if (kind == Kind.OpenStatClose) openAll();
  else if (kind == Kind.ReadDirectory) listAll();
  else moveAll();
  store<i64>(tookNs, clock() - started);
}

function moveAll(): void {
  const file = SysOpenFile(DATA, 5, O_RDWR);
  assert(file > 0, "files: open");
  let at: u32 = 0;
  let seed: u32 = 1;
  for (let i: u32 = 0; i < count; i++) {
    const offset = <u64>at * block;
    const got =
      kind == Kind.Read
        ? SysReadFileAt(file, buffer, block, offset)
        : SysWriteFileAt(file, buffer, block, offset);
    assert(<u32>got == block, "files: a block");
    seed = seed * 1664525 + 1013904223;
    at = isRandom ? <u32>((<u64>seed * blocks) >> 32) : at + 1 == blocks ? 0 : at + 1;
  }
  SysCloseFile(file);
}

/** Of /list/00000 and so on. */
function openAll(): void {
  const stat = ToroGetMem(offsetof<FileStat>());
  memory.copy(name, LIST, 5);
  store<u8>(name, 0x2f, 5);
  for (let i: u32 = 0; i < count; i++) {
    let n = i % blocks;
    for (let digit: u32 = 0; digit < 5; digit++, n /= 10) {
      store<u8>(name + 10 - digit, 0x30 + (n % 10));
    }
    const file = SysOpenFile(name, 11, 0);
    assert(file > 0 && SysStatOpenFile(file, stat) == 0, "files: open");
    SysCloseFile(file);
  }
}

function listAll(): void {
  const directory = SysOpenFile(LIST, 5, 0);
  assert(directory > 0, "files: list");
  while (SysReadDirectory(directory, buffer, LIST_BYTES) > 0);
  SysCloseFile(directory);
}
