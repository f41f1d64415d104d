// File calls that change something, many threads at once and without memory, against the real
// device over a directory that test/kernel/files/write.test.ts makes.
import { Errno } from "torito/abi/errno";
import {
  O_APPEND,
  O_CREAT,
  O_RDWR,
  O_WRONLY,
  SysCloseFile,
  SysCreateDir,
  SysLink,
  SysOpenFile,
  SysReadFileAt,
  SysRemoveDir,
  SysRename,
  SysStatFile,
  SysStatOpenFile,
  SysSymlink,
  SysTruncateFile,
  SysUnlink,
  SysWriteFile,
  SysWriteFileAt,
} from "torito/kernel/api";
import { openFiles } from "torito/kernel/fs/file";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { Sleep, SysThreadSwitch } from "torito/kernel/thread-calls";
import { mounted, open, path, stat } from "./files-helper";
import { inUse, thread } from "./harness";

let shared: i32 = 0;
let running: u32 = 0;

export function test_a_hundred_threads_write_one_file(): void {
  mounted((_: usize): void => {
    shared = open("/shared", O_RDWR | O_CREAT);
    assert(shared > 0);
    running = 100;
    for (let i: u32 = 0; i < 100; i++) {
      thread((arg: usize): void => {
        const mine = ToroGetMem(1000);
        memory.fill(mine, <u8>arg, 1000);
        for (let round: u32 = 0; round < 5; round++) {
          const at = (round * 100 + <u32>arg) * 1000;
          assert(SysWriteFileAt(shared, mine, 1000, at) == 1000);
          SysThreadSwitch();
        }
        ToroFreeMem(mine);
        running--;
      }, i);
    }
    while (running != 0) Sleep(1);
    assert(SysStatOpenFile(shared, changetype<usize>(stat)) == 0 && stat.size == 500_000);
    const all = ToroGetMem(500_000);
    assert(SysReadFileAt(shared, all, 500_000, 0) == 500_000);
    for (let i: u32 = 0; i < 500_000; i++) assert(<u32>load<u8>(all + i) == (i / 1000) % 100);
    ToroFreeMem(all);
    assert(SysCloseFile(shared) == 0);
  });
}

export function test_threads_append_each_by_its_own_handle_and_nothing_is_lost(): void {
  mounted((_: usize): void => {
    running = 20;
    for (let i: u32 = 0; i < 20; i++) {
      thread((arg: usize): void => {
        const file = open("/appended", O_WRONLY | O_CREAT | O_APPEND);
        const mine = ToroGetMem(10);
        memory.fill(mine, <u8>(0x41 + arg), 10);
        for (let round: u32 = 0; round < 20; round++) {
          assert(SysWriteFile(file, mine, 10) == 10);
          SysThreadSwitch();
        }
        ToroFreeMem(mine);
        assert(SysCloseFile(file) == 0);
        running--;
      }, i);
    }
    while (running != 0) Sleep(1);
    const p = path("/appended");
    assert(SysStatFile(p, 9, changetype<usize>(stat)) == 0 && stat.size == 4000);
  });
}

/** All of it, each call with whatever the one before has left; only memory may be missing. */
function everything(): u32 {
  let failed: u32 = 0;
  const check = (status: i32): u32 => {
    assert(status >= 0 || status == -Errno.ENOMEM || status == -Errno.ENOENT);
    return status < 0 ? 1 : 0;
  };
  const a = path("/a");
  const b = path("/b");
  const c = path("/b/c");
  const d = path("/d");
  const text = path("text");
  const file = SysOpenFile(a, 2, O_RDWR | O_CREAT);
  failed += check(file);
  if (file > 0) {
    failed += check(SysWriteFile(file, text, 4));
    failed += check(SysCloseFile(file));
  }
  failed += check(SysCreateDir(b, 2, 0o755));
  failed += check(SysRename(a, 2, c, 4, 0));
  failed += check(SysLink(c, 4, a, 2));
  failed += check(SysSymlink(text, 4, d, 2));
  failed += check(SysTruncateFile(c, 4, 1));
  failed += check(SysUnlink(d, 2));
  failed += check(SysUnlink(a, 2));
  failed += check(SysUnlink(c, 4));
  failed += check(SysRemoveDir(b, 2));
  return failed;
}

/** Whatever was left. */
function sweep(): void {
  SysUnlink(path("/a"), 2);
  SysUnlink(path("/d"), 2);
  SysUnlink(path("/b/c"), 4);
  SysRemoveDir(path("/b"), 2);
}

export function test_whichever_allocation_fails_it_is_an_error_and_no_harm(): void {
  mounted((_: usize): void => {
    assert(everything() == 0);
    let failures: u32 = 0;
    for (let n: u32 = 0; n < 40; n++) {
      assert(everything() == 0);
      const before = inUse();
      const spare = ToroGetMem(80);
      let spares: u32 = 0;
      for (; spares < n % 20; spares++) {
        store<usize>(spare + spares * 4, ToroGetMem(n < 20 ? 320 : 64));
      }
      let hog: usize = 0;
      for (let bytes: u32 = 8 << 20; bytes >= 16; bytes >>= 1) {
        for (let block = ToroGetMem(bytes); block != 0; block = ToroGetMem(bytes)) {
          store<usize>(block, hog);
          hog = block;
        }
      }
      for (let i: u32 = 0; i < spares; i++) ToroFreeMem(load<usize>(spare + i * 4));
      failures += everything();
      while (hog != 0) {
        const next = load<usize>(hog);
        ToroFreeMem(hog);
        hog = next;
      }
      ToroFreeMem(spare);
      sweep();
      assert(everything() == 0);
      assert(openFiles() == 0);
      assert(n == 0 || inUse() == before);
    }
    assert(failures > 40);
  });
}
