// virtio-fs device where the guest may write: each operation, and what is on the host then.
import * as nodefs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseAttr, FuseAttrOut, FuseOpcode } from "../../../abi/fuse.ts";
import { FuseSetattrValid as Valid } from "../../../abi/fuse-write.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import { isStoredTime } from "../../support/file-times.ts";
import {
  getattr,
  lookup,
  named,
  open,
  opendir,
  ROOT,
  read,
  release,
} from "../../support/fs-calls.ts";
import {
  copyFileRange,
  create,
  fsync,
  link,
  mkdir,
  mknod,
  remove,
  rename,
  rename2,
  setattr,
  symlink,
  write,
} from "../../support/fs-change-calls.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";

const O_WRONLY = 1;
const O_RDWR = 2;
const O_EXCL = 0x80;
const O_TRUNC = 0x200;
const O_APPEND = 0x400;
const bit = (...valid: Valid[]) => valid.reduce((bits: number, one) => bits | (1 << one), 0);

let directory: string;
let fs: FsPuppet;
const at = (name: string) => join(directory, name);
const content = (name: string) => nodefs.readFileSync(at(name), "latin1");
const mode = (name: string) => nodefs.lstatSync(at(name)).mode & 0o7777;

beforeEach(() => {
  directory = nodefs.mkdtempSync(join(tmpdir(), "torito-fs-"));
  nodefs.writeFileSync(at("hello"), "hello, world");
  nodefs.mkdirSync(at("sub"));
  fs = new FsPuppet(directory, { readOnly: false });
  fs.init();
});

afterEach(() => {
  fs.device.dispose();
  nodefs.rmSync(directory, { recursive: true });
});

describe("WRITE", () => {
  test("writes at its offset, in pieces and past the end", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_RDWR);
    expect(write(fs, nodeid, fh, 7, "WORLD")).toBe(5);
    expect(write(fs, nodeid, fh, 14, "!", { readable: [3, 50, 28] })).toBe(1);
    expect(content("hello")).toBe("hello, WORLD\0\0!");
    expect(write(fs, nodeid, fh, 0, "")).toBe(0);
    expect(Buffer.from(read(fs, nodeid, fh, 7, 5).data).toString()).toBe("WORLD");
    expect(release(fs, nodeid, fh)).toBe(0);
  });

  test("U13, W7: is refused with a wrong size, too much data, or an impossible offset", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_WRONLY);
    expect(write(fs, nodeid, fh, 0, "x", {}, 2)).toBe(-Errno.EINVAL);
    expect(write(fs, nodeid, fh, 0, "xx", {}, 1)).toBe(-Errno.EINVAL);
    expect(write(fs, nodeid, fh, 0, "x", {}, 0xffffffff)).toBe(-Errno.EINVAL);
    expect(write(fs, nodeid, fh, 2n ** 53n - 1n, "x")).toBe(-Errno.EFBIG);
    expect(write(fs, nodeid, fh, 2n ** 63n, "x")).toBe(-Errno.EFBIG);
    expect(write(fs, nodeid, fh, 2n ** 64n - 1n, "x")).toBe(-Errno.EFBIG);
    expect(content("hello")).toBe("hello, world");
  });

  test("W5: needs a writable handle of this file", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const reading = open(fs, nodeid);
    expect(write(fs, nodeid, reading, 0, "x")).toBe(-Errno.EBADF);
    expect(write(fs, nodeid, 999, 0, "x")).toBe(-Errno.EBADF);
    const sub = lookup(fs, ROOT, "sub").nodeid;
    expect(write(fs, sub, reading, 0, "x")).toBe(-Errno.EBADF);
    expect(write(fs, sub, opendir(fs, sub), 0, "x")).toBe(-Errno.EBADF);
    expect(read(fs, nodeid, open(fs, nodeid, O_WRONLY), 0, 1).error).toBe(-Errno.EBADF);
  });

  test("appends with O_APPEND, whatever its offset", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_WRONLY | O_APPEND);
    const other = open(fs, nodeid, O_WRONLY);
    write(fs, nodeid, fh, 0, "!");
    write(fs, nodeid, other, 0, "H");
    write(fs, nodeid, fh, 0, "!");
    expect(content("hello")).toBe("Hello, world!!");
  });

  test("U21, CVE-2021-20263: clears the set-id bits of a file", () => {
    nodefs.chmodSync(at("hello"), 0o6755);
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_WRONLY);
    expect(mode("hello")).toBe(0o6755);
    write(fs, nodeid, fh, 0, "x");
    expect(mode("hello")).toBe(0o755);
    for (const how of ["cut", "truncate at open", "give away"]) {
      nodefs.chmodSync(at("hello"), 0o6755);
      if (how === "cut") setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 3n });
      else if (how === "give away") setattr(fs, nodeid, { valid: bit(Valid.GID), gid: 1 });
      else open(fs, nodeid, O_WRONLY | O_TRUNC);
      expect([how, mode("hello")]).toEqual([how, 0o755]);
    }
  });
});

describe("FSYNC", () => {
  test("U24: is answered once the file or directory is on disk", async () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_WRONLY);
    write(fs, nodeid, fh, 0, "x");
    for (const dataOnly of [0, 1]) expect((await fsync(fs, nodeid, fh, dataOnly)).error).toBe(0);
    const root = opendir(fs, ROOT);
    expect((await fsync(fs, ROOT, root, 0, FuseOpcode.FSYNCDIR)).error).toBe(0);
    expect((await fsync(fs, nodeid, 77, 0)).error).toBe(-Errno.EBADF);
    expect((await fsync(fs, ROOT, fh, 0, FuseOpcode.FSYNCDIR)).error).toBe(-Errno.EBADF);
  });

  test("G30: is not answered after a reset, and closes its descriptors", async () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const before = descriptorsIn(directory);
    const fh = open(fs, nodeid, O_WRONLY);
    expect(descriptorsIn(directory)).toBeGreaterThan(before);
    const answer = fsync(fs, nodeid, fh, 0);
    fs.device.reset();
    for (const queue of fs.queues) queue.detach();
    const memory = Buffer.from(fs.memory.u8).toString("latin1");
    await expect(
      Promise.race([answer, until(() => descriptorsIn(directory) <= before)]),
    ).resolves.toBe(true);
    expect(Buffer.from(fs.memory.u8).toString("latin1")).toBe(memory);
  });
});

async function until(condition: () => boolean): Promise<true> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  return true;
}

describe("CREATE", () => {
  test("U10: makes a file, or opens an existing one", () => {
    const made = create(fs, ROOT, "new", O_RDWR, 0o640);
    expect(made).toMatchObject({ error: 0, size: 0n, mode: 0o100640 });
    write(fs, made.nodeid, made.fh, 0, "text");
    expect([content("new"), mode("new")]).toEqual(["text", 0o640]);
    const again = create(fs, ROOT, "new", O_RDWR, 0o600);
    expect(again).toMatchObject({ error: 0, nodeid: made.nodeid, size: 4n, mode: 0o100640 });
    expect(create(fs, ROOT, "new", O_RDWR | O_EXCL, 0o600).error).toBe(-Errno.EEXIST);
    const cut = create(fs, ROOT, "new", O_RDWR | O_TRUNC, 0o600);
    expect([cut.size, content("new")]).toEqual([0n, ""]);
  });

  test("W16: takes the guest's mode, without permissions for others", () => {
    for (const wanted of [0o777, 0o600, 0o002, 0o000, 0o1666]) {
      create(fs, ROOT, `m${wanted}`, O_RDWR, wanted);
      expect(mode(`m${wanted}`)).toBe(wanted);
    }
    create(fs, ROOT, "suid", O_RDWR, 0o6777);
    expect(mode("suid")).toBe(0o777);
  });

  test("U9, W11, W12: opens nothing but regular files, and follows no link", () => {
    nodefs.symlinkSync("/etc/passwd", at("link"));
    nodefs.symlinkSync("/nowhere/at/all", at("dangling"));
    expect(create(fs, ROOT, "link", O_RDWR, 0o600).error).toBe(-Errno.ELOOP);
    expect(create(fs, ROOT, "dangling", O_RDWR, 0o600).error).toBe(-Errno.ELOOP);
    expect(create(fs, ROOT, "sub", O_RDWR, 0o600).error).toBe(-Errno.EISDIR);
    expect(create(fs, lookup(fs, ROOT, "hello").nodeid, "x", 2, 0).error).toBe(-Errno.ENOTDIR);
  });

  test("W3: checks names, and takes them as bytes", () => {
    for (const name of ["", ".", "..", "a/b", "../x", "/x"]) {
      expect(create(fs, ROOT, name, O_RDWR, 0o600).error).toBe(-Errno.EINVAL);
    }
    expect(create(fs, ROOT, "x".repeat(256), O_RDWR, 0).error).toBe(-Errno.ENAMETOOLONG);
    expect(create(fs, ROOT, "\xff\xfe", O_RDWR, 0o600).error).toBe(0);
    const names = nodefs.readdirSync(directory, { encoding: "buffer" });
    expect(names.some((name) => name.equals(Buffer.from("\xff\xfe", "latin1")))).toBe(true);
  });

  test("MKNOD makes nothing but a regular file", () => {
    expect(mknod(fs, ROOT, "plain", 0o100600)).toMatchObject({ error: 0, mode: 0o100600 });
    for (const type of [0o010000, 0o020000, 0o060000, 0o140000, 0o120000]) {
      expect(mknod(fs, ROOT, "special", type | 0o600).error).toBe(-Errno.EPERM);
    }
    expect(nodefs.existsSync(at("special"))).toBe(false);
  });
});

describe("directories and links", () => {
  test("MKDIR and RMDIR", () => {
    const made = mkdir(fs, ROOT, "dir", 0o750);
    expect(made).toMatchObject({ error: 0, mode: 0o040750 });
    expect(mkdir(fs, ROOT, "dir", 0o750).error).toBe(-Errno.EEXIST);
    create(fs, made.nodeid, "inside", O_RDWR, 0o600);
    expect(remove(fs, ROOT, "dir", FuseOpcode.RMDIR)).toBe(-Errno.ENOTEMPTY);
    expect(remove(fs, made.nodeid, "inside", FuseOpcode.UNLINK)).toBe(0);
    expect(remove(fs, ROOT, "dir", FuseOpcode.UNLINK)).toBe(-Errno.EISDIR);
    expect(remove(fs, ROOT, "hello", FuseOpcode.RMDIR)).toBe(-Errno.ENOTDIR);
    expect(remove(fs, ROOT, "dir", FuseOpcode.RMDIR)).toBe(0);
    expect(nodefs.existsSync(at("dir"))).toBe(false);
    expect(create(fs, made.nodeid, "late", O_RDWR, 0o600).error).toBe(-Errno.ENOENT);
  });

  test("U19: a file without a name lives as long as it is open", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid, O_RDWR);
    expect(remove(fs, ROOT, "hello", FuseOpcode.UNLINK)).toBe(0);
    expect(write(fs, nodeid, fh, 0, "still")).toBe(5);
    expect(setattr(fs, nodeid, { valid: bit(Valid.SIZE, Valid.FH), size: 3n, fh }).size).toBe(3n);
    expect(Buffer.from(read(fs, nodeid, fh, 0, 10).data).toString()).toBe("sti");
    expect(getattr(fs, nodeid).error).toBe(0);
    expect(lookup(fs, ROOT, "hello").error).toBe(-Errno.ENOENT);
  });

  test("LINK gives a file a second name, also after it has moved", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const sub = lookup(fs, ROOT, "sub").nodeid;
    expect(link(fs, nodeid, sub, "second")).toMatchObject({ error: 0, nodeid });
    expect(nodefs.statSync(at("sub/second")).nlink).toBe(2);
    expect(link(fs, nodeid, sub, "second").error).toBe(-Errno.EEXIST);
    rename(fs, ROOT, "hello", sub, "moved");
    expect(link(fs, nodeid, ROOT, "third")).toMatchObject({ error: 0, nodeid });
    expect(link(fs, sub, ROOT, "dir").error).toBe(-Errno.EPERM);
    expect(link(fs, ROOT, ROOT, "root").error).toBe(-Errno.EPERM);
    expect(link(fs, 999, ROOT, "none").error).toBe(-Errno.EBADF);
  });

  test("LINK of a file that the host moved away fails, and links nothing else", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    nodefs.renameSync(at("hello"), at("elsewhere"));
    nodefs.writeFileSync(at("hello"), "another");
    expect(link(fs, nodeid, ROOT, "second").error).toBe(-Errno.ENOENT);
    expect(nodefs.existsSync(at("second"))).toBe(false);
    lookup(fs, ROOT, "elsewhere");
    expect(link(fs, nodeid, ROOT, "second").error).toBe(0);
  });

  test("W11: SYMLINK keeps any text, and the host follows it nowhere", () => {
    const made = symlink(fs, ROOT, "out", "../../../etc/passwd");
    expect(made).toMatchObject({ error: 0, mode: 0o120777 });
    expect(nodefs.readlinkSync(at("out"))).toBe("../../../etc/passwd");
    expect(open(fs, made.nodeid, O_RDWR)).toBe(-Errno.ELOOP);
    expect(symlink(fs, ROOT, "out", "x").error).toBe(-Errno.EEXIST);
    expect(symlink(fs, ROOT, "empty", "").error).toBe(-Errno.EINVAL);
    expect(symlink(fs, ROOT, "a/b", "x").error).toBe(-Errno.EINVAL);
    const { nodeid } = symlink(fs, ROOT, "loop", "loop");
    expect(setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 0n }).error).toBe(-Errno.EINVAL);
  });

  test("RENAME moves and replaces, and refuses impossible moves", () => {
    const sub = lookup(fs, ROOT, "sub").nodeid;
    expect(rename(fs, ROOT, "hello", sub, "there")).toBe(0);
    expect(content("sub/there")).toBe("hello, world");
    create(fs, ROOT, "other", O_RDWR, 0o600);
    expect(rename(fs, ROOT, "other", sub, "there")).toBe(0);
    expect(content("sub/there")).toBe("");
    expect(rename(fs, ROOT, "nothing", sub, "x")).toBe(-Errno.ENOENT);
    expect(rename(fs, ROOT, "sub", sub, "inside")).toBe(-Errno.EINVAL);
    expect(rename(fs, sub, "..", ROOT, "x")).toBe(-Errno.EINVAL);
    expect(rename(fs, sub, "there", ROOT, ".")).toBe(-Errno.EINVAL);
    expect(rename(fs, sub, "there", ROOT, "../x")).toBe(-Errno.EINVAL);
    expect(rename(fs, sub, "there", 999, "x")).toBe(-Errno.EBADF);
    expect(rename(fs, sub, "there", lookup(fs, sub, "there").nodeid, "x")).toBe(-Errno.ENOTDIR);
  });

  test("U20, W18: RENAME2 replaces nothing with NOREPLACE, and refuses EXCHANGE", () => {
    create(fs, ROOT, "other", O_RDWR, 0o600);
    const { nodeid } = lookup(fs, ROOT, "hello");
    expect(rename2(fs, ROOT, "hello", ROOT, "other", 1)).toBe(-Errno.EEXIST);
    expect(rename2(fs, ROOT, "hello", ROOT, "free", 1)).toBe(0);
    expect([content("free"), nodefs.existsSync(at("hello"))]).toEqual(["hello, world", false]);
    expect(link(fs, nodeid, ROOT, "again").error).toBe(0);
    expect(rename2(fs, ROOT, "free", ROOT, "other", 0)).toBe(0);
    expect(rename2(fs, ROOT, "sub", ROOT, "bus", 1)).toBe(-Errno.EINVAL);
    expect(rename2(fs, ROOT, "none", ROOT, "x", 1)).toBe(-Errno.ENOENT);
    for (const flags of [2, 3, 4, 8, 0xffffffff]) {
      expect(rename2(fs, ROOT, "other", ROOT, "sub", flags)).toBe(-Errno.EINVAL);
    }
  });
});

describe("SETATTR", () => {
  test("sets sizes", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    expect(setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 5n }).size).toBe(5n);
    expect(setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 7n }).size).toBe(7n);
    expect(content("hello")).toBe("hello\0\0");
    const huge = setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 2n ** 53n });
    expect(huge.error).toBe(-Errno.EFBIG);
    const big = setattr(fs, nodeid, { valid: bit(Valid.SIZE), size: 2n ** 40n });
    expect([big.size, nodefs.statSync(at("hello")).size]).toEqual([2n ** 40n, 2 ** 40]);
    expect(setattr(fs, ROOT, { valid: bit(Valid.SIZE) }).error).toBe(-Errno.EISDIR);
    expect(setattr(fs, nodeid, { valid: bit(Valid.SIZE, Valid.FH), fh: 9 }).error).toBe(
      -Errno.EBADF,
    );
  });

  test("sets modes and owners", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    for (const wanted of [0, 0o777, 0o1421]) {
      expect(setattr(fs, nodeid, { valid: bit(Valid.MODE), mode: wanted }).mode).toBe(
        0o100000 | wanted,
      );
    }
    setattr(fs, nodeid, { valid: bit(Valid.MODE), mode: 0o6755 });
    expect(mode("hello")).toBe(0o755);
    const sub = lookup(fs, ROOT, "sub").nodeid;
    expect(setattr(fs, sub, { valid: bit(Valid.MODE), mode: 0o2775 }).mode).toBe(0o042775);
    const mine = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    expect(setattr(fs, nodeid, { valid: bit(Valid.UID, Valid.GID), ...mine }).error).toBe(0);
  });

  test.each([
    ["of this century", 1_700_000_000n, 123_456_789, 1_700_000_000_123_456_000n],
    ["before 1970", -2n, 999_999_000, -1_000_001_000n],
    ["just before 1970", -1n, 999_999_999, -1000n],
    ["long before it", -2_000_000_000n, 1_000, -1_999_999_999_999_999_000n],
    ["far away", 9_000_000_000n, 250_000_999, 9_000_000_000_250_000_000n],
  ])("keeps times %s to the microsecond", (_, seconds, ns, stored) => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const valid = bit(Valid.ATIME, Valid.MTIME);
    const reply = setattr(fs, nodeid, { valid, atime: [5n, 0], mtime: [seconds, ns] });
    const stat = nodefs.statSync(at("hello"), { bigint: true });
    expect(stat.atimeNs).toBe(5_000_000_000n);
    expect(stat.mtimeNs).toSatisfy((ns: bigint) => isStoredTime(ns, stored));
    const attr = FuseAttrOut.attr;
    const told = reply.view.getBigInt64(attr + FuseAttr.mtime, true) * 1_000_000_000n;
    const nanoseconds = BigInt(reply.view.getUint32(attr + FuseAttr.mtimensec, true));
    expect(told + nanoseconds).toBe(stat.mtimeNs);
  });

  test("sets one time alone, and the current time", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    setattr(fs, nodeid, { valid: bit(Valid.ATIME, Valid.MTIME), atime: [7n, 0], mtime: [8n, 0] });
    setattr(fs, nodeid, { valid: bit(Valid.MTIME), mtime: [9n, 0] });
    const stat = () => nodefs.statSync(at("hello"));
    expect([stat().atimeMs, stat().mtimeMs]).toEqual([7000, 9000]);
    const before = Date.now() - 1; // what arrives is cut to microseconds
    setattr(fs, nodeid, { valid: bit(Valid.ATIME, Valid.ATIME_NOW) });
    expect(stat().atimeMs).toBeGreaterThanOrEqual(before);
    expect(stat().mtimeMs).toBe(9000);
    const bad = setattr(fs, nodeid, { valid: bit(Valid.MTIME), mtime: [1n, 1_000_000_000] });
    expect(bad.error).toBe(-Errno.EINVAL);
  });

  test("applies to a symbolic link itself", () => {
    const { nodeid } = symlink(fs, ROOT, "link", "hello");
    setattr(fs, nodeid, { valid: bit(Valid.ATIME, Valid.MTIME), atime: [7n, 0], mtime: [8n, 0] });
    expect(nodefs.lstatSync(at("link")).mtimeMs).toBe(8000);
    expect(nodefs.statSync(at("hello")).mtimeMs).toBeGreaterThan(8000);
    expect(setattr(fs, nodeid, { valid: bit(Valid.MODE) }).error).toBe(-Errno.EOPNOTSUPP);
  });
});

describe("COPY_FILE_RANGE", () => {
  test("copies inside the host, from file to file and within one", () => {
    const source = lookup(fs, ROOT, "hello").nodeid;
    const target = create(fs, ROOT, "copy", O_RDWR, 0o600);
    const from = open(fs, source);
    const to = target.fh;
    expect(copyFileRange(fs, [source, from, 7], [target.nodeid, to, 2], 100)).toBe(5);
    expect(content("copy")).toBe("\0\0world");
    expect(copyFileRange(fs, [target.nodeid, to, 2], [target.nodeid, to, 7], 5)).toBe(5);
    expect(content("copy")).toBe("\0\0worldworld");
    expect(copyFileRange(fs, [target.nodeid, to, 0], [target.nodeid, to, 3], 5)).toBe(
      -Errno.EINVAL,
    );
    expect(copyFileRange(fs, [source, from, 99], [target.nodeid, to, 0], 5)).toBe(0);
    expect(copyFileRange(fs, [source, from, 0], [source, from, 90], 5)).toBe(-Errno.EBADF);
    expect(copyFileRange(fs, [source, 99, 0], [target.nodeid, to, 0], 5)).toBe(-Errno.EBADF);
  });
});

describe("operations that Node lacks", () => {
  test.each([
    FuseOpcode.FALLOCATE,
    FuseOpcode.SETXATTR,
    FuseOpcode.REMOVEXATTR,
    FuseOpcode.TMPFILE,
    FuseOpcode.GETXATTR,
    FuseOpcode.LISTXATTR,
    FuseOpcode.SYNCFS,
    FuseOpcode.GETLK,
    FuseOpcode.IOCTL,
  ])("U3, U18: answers ENOSYS to operation %i, so that the guest may stop asking", (opcode) => {
    expect(fs.request(opcode, new Uint8Array(64), { nodeid: ROOT }).error).toBe(-Errno.ENOSYS);
  });
});

test("W15: makes nothing when the node table is full", () => {
  const small = new FsPuppet(directory, {
    readOnly: false,
    limits: { nodesMax: 2, handlesMax: 1 },
  });
  small.init();
  expect(create(small, ROOT, "one", O_RDWR, 0o600).error).toBe(0);
  expect(create(small, ROOT, "two", O_RDWR, 0o600).error).toBe(-Errno.ENFILE);
  expect(mkdir(small, ROOT, "two", 0o700).error).toBe(-Errno.ENFILE);
  expect(symlink(small, ROOT, "two", "x").error).toBe(-Errno.ENFILE);
  expect(nodefs.readdirSync(directory)).not.toContain("two");
  small.device.dispose();
});

test("refuses every change on a read-only device", () => {
  const readOnly = new FsPuppet(directory);
  readOnly.init();
  const { nodeid } = lookup(readOnly, ROOT, "hello");
  const all = [
    create(readOnly, ROOT, "x", O_RDWR, 0o600).error,
    mkdir(readOnly, ROOT, "x", 0o700).error,
    mknod(readOnly, ROOT, "x", 0o100600).error,
    symlink(readOnly, ROOT, "x", "y").error,
    link(readOnly, nodeid, ROOT, "x").error,
    remove(readOnly, ROOT, "hello", FuseOpcode.UNLINK),
    remove(readOnly, ROOT, "sub", FuseOpcode.RMDIR),
    rename(readOnly, ROOT, "hello", ROOT, "x"),
    rename2(readOnly, ROOT, "hello", ROOT, "x", 1),
    setattr(readOnly, nodeid, { valid: bit(Valid.MODE), mode: 0 }).error,
    open(readOnly, nodeid, O_WRONLY),
    open(readOnly, nodeid, O_TRUNC),
    write(readOnly, nodeid, open(readOnly, nodeid), 0, "x"),
  ];
  expect(all).toEqual(all.map(() => -Errno.EROFS));
  expect(nodefs.readdirSync(directory).sort()).toEqual(["hello", "sub"]);
  expect(readOnly.request(FuseOpcode.RENAME, named("x")).error).toBe(-Errno.EINVAL);
  readOnly.device.dispose();
});
