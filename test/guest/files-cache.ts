// The caches of the file system, against the real device: time-outs, changes on the host,
// forgetting, limits, and many threads at once.
import { FuseType } from "torito/abi/fuse";
import { Errno } from "torito/abi/errno";
import {
  SEEK_END,
  SysCloseFile,
  SysReadFile,
  SysReadFileAt,
  SysSeekFile,
  SysStatFile,
  SysStatOpenFile,
} from "torito/kernel/api";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { Sleep, SysKillThread, SysThreadSwitch } from "torito/kernel/thread-calls";
import {
  buffer,
  fileSystem,
  isPattern,
  list,
  look,
  mounted,
  open,
  path,
  requests,
  session,
  stat,
} from "./files-helper";
import { inUse, mark, thread } from "./harness";

const VALID_MS: u32 = 1000; // as files.test.ts tells the device

export function test_what_is_valid_is_not_asked_for_again(): void {
  mounted((_: usize): void => {
    assert(look("/dir/sub/deep.txt") == 0);
    const before = requests();
    for (let i = 0; i < 100; i++) assert(look("/dir/sub/deep.txt") == 0 && stat.size == 4);
    assert(look("/dir/sub/") == 0 && look("/dir") == 0 && look("/") == 0);
    assert(look("/dir/sub/../a") == -Errno.ENOENT); // one LOOKUP
    assert(requests() == before + 1);
    Sleep(VALID_MS - 1);
    assert(look("/dir/sub/deep.txt") == 0);
    assert(requests() == before + 1);
    Sleep(1);
    assert(look("/dir/sub/deep.txt") == 0);
    assert(requests() == before + 4);
  });
}

export function test_a_change_on_the_host_is_seen_when_the_time_out_is_over_fault_31(): void {
  mounted((_: usize): void => {
    assert(look("/changing") == 0 && stat.size == 3);
    const file = open("/changing");
    assert(look("/host-please-grow") == -Errno.ENOENT);
    Sleep(VALID_MS);
    assert(look("/changing") == 0 && stat.size == 8);
    assert(SysStatOpenFile(file, changetype<usize>(stat)) == 0 && stat.size == 8);
    assert(SysSeekFile(file, 0, SEEK_END) == 8);
    const first = stat.ino;
    assert(look("/host-please-replace") == -Errno.ENOENT);
    Sleep(VALID_MS);
    assert(look("/changing") == 0 && stat.size == 1 && stat.ino != first);
    // The open file is still the one that it was.
    assert(SysStatOpenFile(file, changetype<usize>(stat)) == 0 && stat.ino == first);
    assert(SysReadFileAt(file, buffer, 10, 0) == 8);
    assert(look("/host-please-remove") == -Errno.ENOENT);
    assert(look("/changing") == 0); // still valid
    Sleep(VALID_MS);
    assert(look("/changing") == -Errno.ENOENT);
    assert(SysReadFileAt(file, buffer, 10, 0) == 8);
    assert(SysCloseFile(file) == 0);
  });
}

export function test_a_file_that_becomes_a_directory_is_one(): void {
  mounted((_: usize): void => {
    assert(look("/turning") == 0 && stat.mode >> 12 == FuseType.REG);
    assert(look("/host-please-turn") == -Errno.ENOENT);
    Sleep(VALID_MS);
    assert(look("/turning/inside") == 0 && stat.size == 2);
  });
}

function statMany(): void {
  for (let i: u32 = 0; i < 3000; i++) {
    const p = path("/many/f0000");
    const bytes: u32 = 11;
    for (let digit: u32 = 0, rest = i; digit < 4; digit++, rest /= 10) {
      store<u8>(p + 10 - digit, 0x30 + (rest % 10));
    }
    assert(SysStatFile(p, bytes, changetype<usize>(stat)) == 0);
    assert(stat.size == 1 + (i & 1));
  }
}

export function test_thousands_of_files_leave_the_host_a_bounded_table_fault_33(): void {
  mounted((_: usize): void => {
    statMany();
    assert(fileSystem().count <= 1024);
    assert(session().forgotten == 0);
    const before = inUse();
    // Names are evicted by the 32: after these rounds the cache is as full as before.
    for (let round = 0; round < 4; round++) statMany();
    assert(inUse() == before);
  });
}

export function test_a_host_with_a_small_table_gets_its_nodes_back_fault_33(): void {
  mounted((_: usize): void => {
    statMany();
    const file = open("/many/f0007");
    statMany();
    assert(SysReadFile(file, buffer, 10) == 2); // in use, so it was not forgotten
    assert(SysCloseFile(file) == 0);
  });
}

export function test_opening_and_closing_leaves_no_trace(): void {
  mounted((_: usize): void => {
    for (let round = 0; round < 2; round++) {
      const before = inUse();
      for (let i = 0; i < 2000; i++) {
        const file = open("/dir/b.txt");
        assert(file > 0 && SysReadFile(file, buffer, 100) == 6);
        assert(SysCloseFile(file) == 0);
        const directory = open("/to-dir");
        assert(list(directory, 4096) == 6);
        assert(SysCloseFile(directory) == 0);
        assert(open("/nowhere/x") == -Errno.ENOENT);
        if ((i & 63) == 0) Sleep(100);
      }
      assert(round == 0 || inUse() == before);
    }
  });
}

export function test_the_1025th_open_file_is_refused(): void {
  mounted((_: usize): void => {
    const handles = ToroGetMem(1024 * 4);
    for (let i = 0; i < 1024; i++) {
      const file = open("/hello.txt");
      assert(file > 0);
      store<i32>(handles + i * 4, file);
    }
    assert(open("/hello.txt") == -Errno.ENFILE);
    for (let i = 0; i < 1024; i++) assert(SysCloseFile(load<i32>(handles + i * 4)) == 0);
    const file = open("/hello.txt");
    assert(file > 0 && SysCloseFile(file) == 0);
  });
}

export function test_no_memory_is_an_error_and_no_harm(): void {
  mounted((_: usize): void => {
    assert(look("/dir") == 0);
    let hog: usize = 0;
    for (let bytes: u32 = 8 << 20; bytes >= 16; bytes >>= 1) {
      for (let block = ToroGetMem(bytes); block != 0; block = ToroGetMem(bytes)) {
        store<usize>(block, hog);
        hog = block;
      }
    }
    assert(look("/hello.txt") == -Errno.ENOMEM);
    assert(open("/dir") == -Errno.ENOMEM);
    assert(look("/dir") == 0); // known already
    while (hog != 0) {
      const next = load<usize>(hog);
      ToroFreeMem(hog);
      hog = next;
    }
    assert(look("/hello.txt") == 0);
  });
}

let shared: i32 = 0;

export function test_a_hundred_threads_use_files_at_once(): void {
  mounted((_: usize): void => {
    shared = open("/big.bin");
    for (let i: u32 = 0; i < 100; i++) {
      thread((arg: usize): void => {
        const mine = ToroGetMem(5000);
        for (let round: u32 = 0; round < 5; round++) {
          const offset = <u32>arg * 20_011 + round * 777;
          assert(SysReadFileAt(shared, mine, 5000, offset) == 5000);
          assert(isPattern(mine, offset, 5000));
          SysThreadSwitch();
        }
        ToroFreeMem(mine);
        mark(1);
      }, i);
    }
    Sleep(10);
    assert(SysCloseFile(shared) == 0);
  });
}

export function test_a_thread_killed_between_file_calls_keeps_nothing_busy(): void {
  mounted((_: usize): void => {
    const victim = thread((_: usize): void => {
      while (true) {
        assert(look("/dir/b.txt") == 0);
        Sleep(1);
      }
    });
    Sleep(5);
    SysKillThread(victim);
    Sleep(5);
    assert(look("/hello.txt") == 0);
  });
}
