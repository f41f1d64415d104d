// The file calls against the real device: paths, links, reading, seeking, listing, errors.
import { FuseType } from "torito/abi/fuse";
import { Errno } from "torito/abi/errno";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  SysCloseFile,
  SysOpenFile,
  SysReadDirectory,
  SysReadFile,
  SysReadFileAt,
  SysSeekFile,
  SysStatFile,
  SysStatOpenFile,
} from "torito/kernel/api";
import { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import {
  buffer,
  isPattern,
  isText,
  list,
  look,
  mounted,
  mountAt,
  open,
  requests,
  stat,
} from "./files-helper";
import { marks, thread } from "./harness";

const BIG: u32 = 3 * 1024 * 1024 + 5;
const GIB: u64 = 1 << 30;
const mountPaths: StaticArray<string> = ["/", "/b", "/c", "/d", "/e", "/f", "/g", "/h"];

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
  });
}

export function test_the_ninth_mount_finds_no_room(): void {
  thread((_: usize): void => {
    for (let i = 0; i < 8; i++) assert(mountAt("site", unchecked(mountPaths[i])) == 0);
    assert(mountAt("site", "/i") == -Errno.ENOMEM);
  });
}

export function test_the_longest_mount_wins_and_each_device_is_found_by_its_tag(): void {
  thread((_: usize): void => {
    assert(mountAt("other", "/data") == 0);
    assert(look("/hello.txt") == -Errno.ENOENT);
    assert(look("/data/only-here") == 0 && stat.size == 4);
    assert(mountAt("site", "/") == 0);
    assert(mountAt("site", "/data/again") == 0);
    assert(look("/hello.txt") == 0 && stat.size == 13);
    assert(look("/only-here") == -Errno.ENOENT);
    assert(look("//data///only-here") == 0);
    assert(look("/data") == 0 && stat.mode >> 12 == FuseType.DIR);
    assert(look("/datax") == -Errno.ENOENT);
    assert(look("/data/again/hello.txt") == 0 && stat.size == 13);
    assert(look("/data/againx") == -Errno.ENOENT);
    // ".." ends at the root of the mount.
    assert(look("/data/../only-here") == 0);
  });
}

export function test_dots_and_runs_of_slashes_lead_to_a_mount_as_its_plain_path_does(): void {
  thread((_: usize): void => {
    assert(mountAt("site", "/") == 0);
    assert(mountAt("other", "/data") == 0);
    assert(mountAt("other", "/data/.again") == 0);
    assert(look("/./data/only-here") == 0 && stat.size == 4);
    assert(look("//data") == 0 && stat.mode >> 12 == FuseType.DIR);
    assert(look(".//././/data/./only-here") == 0);
    assert(look("./data/.") == 0 && look("/./data//") == 0 && look("/./data/./") == 0);
    assert(look("/data/./.again/only-here") == 0);
    assert(look("/.//data//.//.again/./only-here") == 0);
    const file = open("/./data/only-here");
    assert(file > 0 && SysCloseFile(file) == 0);
    // Names that begin with a dot, and what is no mount.
    assert(look("/.data/only-here") == -Errno.ENOENT);
    assert(look("/data/..again/only-here") == -Errno.ENOENT);
    assert(look("/./datax/only-here") == -Errno.ENOENT);
    assert(look("/.") == 0 && look(".") == 0 && look("/./hello.txt") == 0 && stat.size == 13);
    assert(look("./") == 0 && look("/./only-here") == -Errno.ENOENT);
    // The path has begun at "/", and does not leave its file system.
    assert(look("/dir/../data/only-here") == -Errno.ENOENT);
    assert(look("/../data/only-here") == -Errno.ENOENT);
    assert(look("/data/../hello.txt") == -Errno.ENOENT);
  });
}

export function test_stat_tells_what_the_host_has(): void {
  mounted((_: usize): void => {
    assert(look("/hello.txt") == 0);
    assert(stat.size == 13 && stat.mode == 0o100640 && stat.nlink == 1 && stat.ino != 0);
    assert(stat.mtimeNs == 1_700_000_000_500_000_000);
    assert(stat.ctimeNs > stat.mtimeNs);
    assert(look("/empty") == 0 && stat.size == 0);
    assert(look("/") == 0 && stat.mode >> 12 == FuseType.DIR);
    assert(look("dir/sub") == 0 && stat.mode >> 12 == FuseType.DIR);
    assert(look("") == -Errno.ENOENT);
    assert(look("/nowhere") == -Errno.ENOENT);
    assert(look("/nowhere/else") == -Errno.ENOENT);
  });
}

export function test_paths_with_runs_of_slashes_and_dots_lead_where_they_should_fault_30(): void {
  mounted((_: usize): void => {
    assert(look("//dir///sub//deep.txt") == 0 && stat.size == 4);
    assert(look("dir/./sub/./deep.txt") == 0 && stat.size == 4);
    assert(look("/dir/sub/../b.txt") == 0 && stat.size == 6);
    assert(look("/dir/sub/../../hello.txt") == 0 && stat.size == 13);
    assert(look("/../../hello.txt") == 0 && stat.size == 13);
    assert(look("/dir/sub/") == 0 && look("/dir/sub//") == 0 && look("/./") == 0);
    assert(look("/dir/sub/..") == 0);
    const dir = stat.ino;
    assert(look("/dir") == 0 && stat.ino == dir);
    assert(look("/hello.txt/") == -Errno.ENOTDIR);
    assert(look("/hello.txt/..") == -Errno.ENOTDIR);
    assert(look("/hello.txt/x") == -Errno.ENOTDIR);
    assert(look("/nowhere/../hello.txt") == -Errno.ENOENT);
  });
}

export function test_names_of_255_bytes_are_found_and_longer_ones_refused_fault_30(): void {
  mounted((_: usize): void => {
    const name = ToroGetMem(5000);
    memory.fill(name, 0x78, 5000);
    assert(SysStatFile(name, 255, changetype<usize>(stat)) == 0 && stat.size == 3);
    assert(SysStatFile(name, 256, changetype<usize>(stat)) == -Errno.ENAMETOOLONG);
    assert(SysStatFile(name, 5000, changetype<usize>(stat)) == -Errno.ENAMETOOLONG);
    assert(SysOpenFile(name, 256, 0) == -Errno.ENAMETOOLONG);
    memory.fill(name, 0x2f, 5000);
    assert(SysStatFile(name, 4095, changetype<usize>(stat)) == 0);
    for (let i: u32 = 0; i < 4097; i += 2) store<u8>(name + i, 0x2e); // "./././"
    assert(SysStatFile(name, 4096, changetype<usize>(stat)) == 0);
    assert(SysStatFile(name + 1, 5000 - 1, changetype<usize>(stat)) == -Errno.ENAMETOOLONG);
    store<u8>(name, 0x68);
    store<u8>(name + 1, 0);
    assert(SysStatFile(name, 2, changetype<usize>(stat)) == -Errno.EINVAL);
    ToroFreeMem(name);
  });
}

export function test_symbolic_links_are_resolved_in_the_guest(): void {
  mounted((_: usize): void => {
    assert(look("/to-hello") == 0 && stat.size == 13);
    assert(look("/to-dir/b.txt") == 0 && stat.size == 6);
    assert(look("/to-dir/") == 0 && stat.mode >> 12 == FuseType.DIR);
    assert(look("/to-hello/") == -Errno.ENOTDIR);
    assert(look("/dir/up") == 0 && stat.size == 13);
    assert(look("/to-dir/up") == 0 && stat.size == 13);
    assert(look("/to-dir/../hello.txt") == 0);
    assert(look("/to-sub/../b.txt") == 0 && stat.size == 6); // the parent of what it leads to
    assert(look("/dir/absolute") == 0 && stat.size == 6); // from the mount's root
    assert(look("/dangling") == -Errno.ENOENT);
    assert(look("/outside") == -Errno.ENOENT); // no such file in the mount
    assert(look("/loop") == -Errno.ELOOP);
    assert(look("/chain40") == 0 && stat.size == 13);
    assert(look("/chain41") == -Errno.ELOOP);
    assert(look("/long-a/xx") == -Errno.ENAMETOOLONG);
    assert(open("/to-hello", O_NOFOLLOW) == -Errno.ELOOP);
    const file = open("/to-dir/b.txt", O_NOFOLLOW); // only the last one counts
    assert(file > 0 && SysCloseFile(file) == 0);
    const before = requests();
    assert(look("/to-dir/up") == 0 && look("/chain40") == 0);
    assert(requests() == before);
  });
}

export function test_read_goes_on_where_it_stopped_and_ends_with_0_fault_28(): void {
  mounted((_: usize): void => {
    const file = open("/hello.txt");
    assert(file > 0);
    memory.fill(buffer, 0xee, 64);
    assert(SysReadFile(file, buffer, 0) == 0);
    assert(SysReadFile(file, buffer, 5) == 5 && isText(buffer, "hello"));
    assert(load<u8>(buffer + 5) == 0xee);
    assert(SysReadFile(file, buffer, 4096) == 8 && isText(buffer, ", world\n"));
    assert(SysReadFile(file, buffer, 4096) == 0);
    assert(SysReadFileAt(file, buffer, 3, 7) == 3 && isText(buffer, "wor"));
    assert(SysReadFileAt(file, buffer, 3, 12) == 1);
    assert(SysReadFileAt(file, buffer, 3, 13) == 0);
    assert(SysReadFileAt(file, buffer, 3, 1 << 40) == 0);
    assert(SysReadFile(file, buffer, 1) == 0); // ReadFileAt left the position alone
    assert(SysCloseFile(file) == 0);
    const empty = open("/empty");
    assert(SysReadFile(empty, buffer, 10) == 0);
    assert(SysCloseFile(empty) == 0);
  });
}

export function test_a_big_file_arrives_whole_in_reads_of_the_servers_limit_fault_29(): void {
  mounted((_: usize): void => {
    const all = ToroGetMem(BIG + 100);
    const file = open("/big.bin");
    const before = requests();
    assert(SysReadFile(file, all, BIG + 100) == BIG);
    assert(requests() - before == 4); // 3 MiB and the rest, which is short
    assert(isPattern(all, 0, BIG));
    memory.fill(all, 0, BIG);
    assert(SysSeekFile(file, 0, SEEK_SET) == 0);
    let done: u32 = 0;
    while (true) {
      const got = SysReadFile(file, all + done, 70_001);
      if (got == 0) break;
      done += got;
    }
    assert(done == BIG && isPattern(all, 0, BIG));
    assert(SysReadFileAt(file, all, 1000, 1_000_003) == 1000 && isPattern(all, 1_000_003, 1000));
    SysCloseFile(file);
    ToroFreeMem(all);
  });
}

export function test_sizes_and_positions_have_64_bits_fault_32(): void {
  mounted((_: usize): void => {
    assert(look("/huge.bin") == 0 && stat.size == 5 * GIB);
    const file = open("/huge.bin");
    assert(SysSeekFile(file, -3, SEEK_END) == 5 * GIB - 3);
    assert(SysReadFile(file, buffer, 10) == 3 && isText(buffer, "end"));
    assert(SysSeekFile(file, 0, SEEK_CUR) == 5 * GIB);
    assert(SysReadFile(file, buffer, 10) == 0);
    assert(SysReadFileAt(file, buffer, 4, 5 * GIB - 4) == 4 && isText(buffer + 1, "end"));
    SysCloseFile(file);
  });
}

export function test_seek_refuses_what_is_before_the_start_or_beyond_63_bits(): void {
  mounted((_: usize): void => {
    const file = open("/hello.txt");
    assert(SysSeekFile(file, 5, SEEK_SET) == 5);
    assert(SysSeekFile(file, 3, SEEK_CUR) == 8);
    assert(SysSeekFile(file, -8, SEEK_CUR) == 0);
    assert(SysSeekFile(file, -1, SEEK_CUR) == -Errno.EINVAL);
    assert(SysSeekFile(file, -14, SEEK_END) == -Errno.EINVAL);
    assert(SysSeekFile(file, i64.MIN_VALUE, SEEK_CUR) == -Errno.EINVAL);
    assert(SysSeekFile(file, 0, 3) == -Errno.EINVAL);
    assert(SysSeekFile(file, 100, SEEK_END) == 113);
    assert(SysReadFile(file, buffer, 1) == 0);
    assert(SysSeekFile(file, i64.MAX_VALUE, SEEK_SET) == i64.MAX_VALUE);
    assert(SysSeekFile(file, 1, SEEK_CUR) == -Errno.EINVAL);
    assert(SysReadFile(file, buffer, 1) == -Errno.EINVAL);
    SysCloseFile(file);
    assert(SysSeekFile(file, 0, SEEK_SET) == -Errno.EBADF);
  });
}

export function test_writing_and_wrong_kinds_and_stale_handles_are_refused(): void {
  mounted((_: usize): void => {
    assert(open("/hello.txt", 1) == -Errno.EROFS);
    assert(open("/hello.txt", 2) == -Errno.EROFS);
    assert(open("/new", 0o100) == -Errno.EROFS);
    assert(open("/hello.txt", 0o1000) == -Errno.EROFS);
    assert(open("/hello.txt", O_DIRECTORY) == -Errno.ENOTDIR);
    assert(open("/nowhere") == -Errno.ENOENT);
    assert(open("") == -Errno.ENOENT);
    assert(open("/fifo") == -Errno.EACCES);
    const directory = open("/dir");
    assert(SysReadFile(directory, buffer, 1) == -Errno.EISDIR);
    assert(SysSeekFile(directory, 1, SEEK_SET) == -Errno.EINVAL);
    assert(SysCloseFile(directory) == 0);
    const file = open("/hello.txt");
    assert(SysReadDirectory(file, buffer, 4096) == -Errno.ENOTDIR);
    assert(SysReadFile(file, buffer, 0x8000_0000) == -Errno.EINVAL);
    assert(SysReadFile(file, <usize>memory.size() * 65536 - 4, 5) == -Errno.EFAULT);
    assert(SysCloseFile(file) == 0);
    assert(SysCloseFile(file) == -Errno.EBADF);
    assert(SysReadFile(file, buffer, 1) == -Errno.EBADF);
    assert(SysReadFileAt(file, buffer, 1, 0) == -Errno.EBADF);
    assert(SysStatOpenFile(file, changetype<usize>(stat)) == -Errno.EBADF);
    assert(SysReadDirectory(file, buffer, 1) == -Errno.EBADF);
    assert(SysCloseFile(0) == -Errno.EBADF);
  });
}

export function test_a_directory_is_listed_in_whole_entries_fault_36(): void {
  mounted((_: usize): void => {
    const directory = open("/dir", O_DIRECTORY);
    assert(directory > 0);
    assert(list(directory, 4096) == 6); // with "." and ".."
    assert(marks() % 10 != 0 && (marks() == 12 || marks() == 21));
    assert(list(directory, 40) == 6);
    assert(SysReadDirectory(directory, buffer, 40) == 0);
    assert(SysSeekFile(directory, 0, SEEK_SET) == 0);
    assert(SysReadDirectory(directory, buffer, 16) == -Errno.EINVAL);
    assert(SysReadDirectory(directory, buffer, 0) == -Errno.EINVAL);
    assert(SysStatOpenFile(directory, changetype<usize>(stat)) == 0);
    assert(SysCloseFile(directory) == 0);
    const many = open("/many");
    assert(list(many, 4096) == 3002);
    assert(list(many, 333) == 3002);
    assert(SysCloseFile(many) == 0);
  });
}
