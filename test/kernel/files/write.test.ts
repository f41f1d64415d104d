// The guest's file calls that change something, against the real device over a temporary directory
// of the host.
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import {
  FUSE_O_APPEND,
  FUSE_O_CREAT,
  FUSE_O_DIRECTORY,
  FUSE_O_EXCL,
  FUSE_O_RDONLY,
  FUSE_O_RDWR,
  FUSE_O_SYNC,
  FUSE_O_TRUNC,
  FUSE_O_WRONLY,
} from "../../../abi/fuse.ts";
import { Mmio } from "../../../abi/virtio.ts";
import type { RegisterFile } from "../../../host/mmio.ts";
import { FsDevice } from "../../../host/node/devices.ts";
import { type FileGuest, fileGuests, type GuestStat } from "../../support/file-guest.ts";
import { compileGuest, runGuest } from "../../support/guest.ts";

const boot = await fileGuests();
const image = await compileGuest("test/guest/files-write.ts");
const NEW = FUSE_O_RDWR | FUSE_O_CREAT;
let root = "";
const host = (name: string) => join(root, name);
const text = (name: string) => fs.readFileSync(host(name), "latin1");
const put = (name: string, content: string) => fs.writeFileSync(host(name), content);

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "torito-write-"));
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
});

const start = () => boot({ directory: root });
function statOf(g: FileGuest, what: string | number): GuestStat {
  const stat = g.stat(what);
  if (typeof stat === "number") throw new Error(`stat ${what}: ${stat}`);
  return stat;
}

describe("writing", () => {
  test("hello from a guest thread lands in a host file byte-exact after fsync and power-off", async () => {
    const g = await start();
    const file = g.now("SysCreateFile", "/hello.txt", 0o644);
    expect(g.write(file, "hello")).toBe(5);
    expect(await g.call("SysSyncFile", file, 0)).toBe(0n);
    expect(g.now("SysCloseFile", file)).toBe(0);
    g.machine.dispose();
    expect(text("hello.txt")).toBe("hello");
  });

  test("F1: the driver writes nothing to the configuration, nor anything else that it must not", async () => {
    const g = await start();
    const file = g.now("SysCreateFile", "/f", 0o644);
    g.write(file, "x");
    g.stat("/f");
    await g.call("SysSyncFile", file, 0);
    const [registers] = g.machine.registers as [RegisterFile];
    expect([registers.illegalAccesses, registers.rejectedChains]).toEqual([0, 0]);
    registers.write(Mmio.Config, 4, 1); // that would count
    expect(registers.illegalAccesses).toBe(1);
  });

  test("F8: many threads wait for the host's disk at once, and others write meanwhile", async () => {
    const g = await start();
    const file = g.now("SysCreateFile", "/f", 0o644);
    const directory = g.now("SysOpenFile", "/", FUSE_O_RDONLY);
    const syncs = [];
    for (let i = 0; i < 50; i++) {
      expect(g.write(file, `line ${i}\n`)).toBeGreaterThan(0);
      syncs.push(g.call("SysSyncFile", i % 3 === 0 ? directory : file, i % 2));
    }
    expect(await Promise.all(syncs)).toEqual(Array(50).fill(0n));
    expect(text("f")).toBe(Array.from({ length: 50 }, (_, i) => `line ${i}\n`).join(""));
  });

  test("the position moves with what was written, and stays with WriteFileAt", async () => {
    const g = await start();
    const file = g.now("SysOpenFile", "/f", NEW);
    expect(g.write(file, "0123456789")).toBe(10);
    expect(g.now("SysWriteFileAt", file, "ab", 3)).toBe(2);
    expect(g.write(file, "x")).toBe(1);
    expect(g.now("SysSeekFile", file, 0, 0)).toBe(0);
    expect(g.read(file)).toBe("012ab56789x");
    expect(text("f")).toBe("012ab56789x");
  });

  test("O_APPEND writes at the end, wherever that is by now, and the position follows", async () => {
    put("log", "one\n");
    const g = await start();
    const first = g.now("SysOpenFile", "/log", FUSE_O_WRONLY | FUSE_O_APPEND);
    const second = g.now("SysOpenFile", "/log", FUSE_O_RDWR | FUSE_O_APPEND);
    expect(g.write(first, "two\n")).toBe(4);
    expect(g.write(second, "three\n")).toBe(6);
    expect(g.write(first, "four\n")).toBe(5);
    expect(g.now("SysSeekFile", first, 0, 1)).toBe(19);
    expect(g.now("SysWriteFileAt", first, "five\n", 0)).toBe(5);
    expect(text("log")).toBe("one\ntwo\nthree\nfour\nfive\n");
    expect(g.now("SysSeekFile", first, 0, 1)).toBe(19);
    expect(g.read(first)).toBe(-Errno.EBADF);
  });

  test("a write after the end leaves a hole, also beyond 4 GiB", async () => {
    const g = await start();
    const file = g.now("SysOpenFile", "/big", NEW);
    const far = 5n * 1024n ** 3n;
    expect(await g.call("SysWriteFileAt", file, "end", far)).toBe(3n);
    expect(statOf(g, file).size).toBe(far + 3n);
    expect(statOf(g, "/big").blocks).toBeLessThan(100n);
    expect(await g.call("SysSeekFile", file, far - 1n, 0)).toBe(far - 1n);
    expect(g.read(file)).toBe("\0end");
    expect(fs.statSync(host("big")).size).toBe(Number(far) + 3);
  });

  test("a write longer than one request arrives whole", async () => {
    const g = await start();
    const bytes = 3 * 1024 * 1024 + 5;
    const at = g.allocate(bytes);
    g.bytes(at, bytes).set(Uint8Array.from({ length: bytes }, (_, i) => i * 7 + (i >> 8)));
    const file = g.now("SysOpenFile", "/long", NEW);
    expect(g.now("SysWriteFile", file, at, bytes)).toBe(bytes);
    expect(Buffer.compare(fs.readFileSync(host("long")), g.bytes(at, bytes))).toBe(0);
  });

  test.each([
    ["with indirect descriptors", 0n],
    ["without", 1n << 28n],
  ])("16 buffers go out and come in as one, empty ones among them, %s", async (_, withheld) => {
    const g = await boot({ directory: root, withheld });
    const parts = Array.from({ length: 16 }, (_, i) =>
      "x".repeat(i).replace(/./g, () => String(i)),
    );
    const vector = g.allocate(17 * 8);
    const area = g.allocate(1024);
    const fill = () =>
      parts.forEach((part, i) => {
        g.machine.memory.view.setUint32(vector + i * 8, area + i * 40, true);
        g.machine.memory.view.setUint32(vector + i * 8 + 4, part.length, true);
        g.bytes(area + i * 40, part.length).set(Buffer.from(part));
      });
    fill();
    const whole = parts.join("");
    const file = g.now("SysOpenFile", "/vector", NEW);
    expect(g.now("SysWriteVector", file, vector, 16)).toBe(whole.length);
    expect(text("vector")).toBe(whole);
    g.bytes(area, 1024).fill(0);
    g.now("SysSeekFile", file, 0, 0);
    expect(g.now("SysReadVector", file, vector, 16)).toBe(whole.length);
    expect(
      parts.map((part, i) => Buffer.from(g.bytes(area + i * 40, part.length)).toString()),
    ).toEqual(parts);
    expect(g.now("SysReadVector", file, vector, 16)).toBe(0);
    expect(g.now("SysWriteVector", file, vector, 0)).toBe(0);
    expect(g.now("SysWriteVector", file, vector, 17)).toBe(-Errno.EINVAL);
    g.machine.memory.view.setUint32(vector + 4, 0xffffffff, true);
    expect(g.now("SysWriteVector", file, vector, 1)).toBe(-Errno.EFAULT);
    expect(text("vector")).toBe(whole);
  });

  test("reports an error and changes nothing when it cannot write", async () => {
    put("f", "content");
    const g = await start();
    const reader = g.now("SysOpenFile", "/f", FUSE_O_RDONLY);
    const writer = g.now("SysOpenFile", "/f", FUSE_O_WRONLY);
    const directory = g.now("SysOpenFile", "/", FUSE_O_RDONLY);
    expect(g.write(reader, "x")).toBe(-Errno.EBADF);
    expect(g.write(directory, "x")).toBe(-Errno.EBADF);
    expect(g.write(77, "x")).toBe(-Errno.EBADF);
    expect(g.read(writer)).toBe(-Errno.EBADF);
    expect(g.now("SysWriteFile", writer, 0xfffffff0, 32)).toBe(-Errno.EFAULT);
    expect(g.now("SysWriteFile", writer, 0, 0)).toBe(0);
    expect(g.now("SysWriteFileAt", writer, "x", -1n)).toBe(-Errno.EINVAL);
    expect(g.now("SysWriteFileAt", writer, "x", (1n << 63n) - 1n)).toBe(-Errno.EFBIG);
    expect(g.now("SysWriteFileAt", writer, "x", 1n << 60n)).toBe(-Errno.EFBIG);
    expect(text("f")).toBe("content");
  });

  test("a part of a file is copied on the host", async () => {
    put("from", "0123456789");
    const g = await start();
    const from = g.now("SysOpenFile", "/from", FUSE_O_RDONLY);
    const to = g.now("SysOpenFile", "/to", NEW);
    expect(g.now("SysCopyFile", from, 2, to, 1, 100)).toBe(8);
    expect(text("to")).toBe("\x0023456789");
    expect(statOf(g, "/to").size).toBe(9n);
    expect(g.now("SysCopyFile", from, 10, to, 0, 5)).toBe(0);
    expect(g.now("SysCopyFile", to, 0, from, 0, 5)).toBe(-Errno.EBADF);
    expect(g.now("SysCopyFile", to, 0, to, 1, 5)).toBe(-Errno.EINVAL);
  });
});

describe("opening for writing", () => {
  test("O_CREAT makes what is not there, O_EXCL refuses what is, O_TRUNC empties it", async () => {
    put("there", "content");
    const g = await start();
    expect(g.now("SysOpenFile", "/new", FUSE_O_WRONLY)).toBe(-Errno.ENOENT);
    const made = g.now("SysOpenFile", "/new", NEW | FUSE_O_EXCL);
    expect(made).toBeGreaterThan(0);
    expect(fs.statSync(host("new")).mode & 0o777).toBe(0o666);
    expect(g.now("SysOpenFile", "/new", NEW | FUSE_O_EXCL)).toBe(-Errno.EEXIST);
    expect(statOf(g, "/there").size).toBe(7n);
    const found = g.now("SysOpenFile", "/there", NEW);
    expect(g.read(found)).toBe("content");
    const cut = g.now("SysOpenFile", "/there", NEW | FUSE_O_TRUNC | FUSE_O_SYNC);
    expect(cut).toBeGreaterThan(0);
    expect(statOf(g, "/there").size).toBe(0n);
    expect(g.write(found, "x")).toBe(1);
    expect(text("there")).toBe("\0\0\0\0\0\0\0x");
    expect(g.now("SysOpenFile", "/there", FUSE_O_RDONLY | FUSE_O_TRUNC)).toBeGreaterThan(0);
    expect(text("there")).toBe("");
  });

  test("a created file has the mode that was asked for, and what the guest knows of it is so", async () => {
    const g = await start();
    const file = g.now("SysCreateFile", "/secret", 0o600);
    expect(statOf(g, file).mode).toBe(0o100600);
    expect(statOf(g, "/secret").ino).toBe(fs.statSync(host("secret"), { bigint: true }).ino);
    expect(g.now("SysCreateFile", "/secret", 0o644)).toBeGreaterThan(0);
    expect(fs.statSync(host("secret")).mode & 0o777).toBe(0o600);
  });

  test.each([
    ["/dir", NEW, Errno.EISDIR],
    ["/dir", FUSE_O_WRONLY, Errno.EISDIR],
    ["/dir", FUSE_O_TRUNC, Errno.EISDIR],
    ["/dir/", NEW, Errno.EISDIR],
    ["/none/", NEW, Errno.EISDIR],
    ["/file/", NEW, Errno.EISDIR],
    ["/", NEW, Errno.EISDIR],
    [".", NEW, Errno.EISDIR],
    ["/dir/..", NEW | FUSE_O_EXCL, Errno.EEXIST],
    ["/file/x", NEW, Errno.ENOTDIR],
    ["/none/x", NEW, Errno.ENOENT],
    ["/loop", NEW, Errno.ELOOP],
    ["/link", NEW | FUSE_O_EXCL, Errno.EEXIST],
    ["/link", NEW | 0x20000, Errno.ELOOP],
    ["/up/x", NEW, Errno.ENOENT],
    ["/dir", NEW | FUSE_O_DIRECTORY, Errno.EINVAL],
    ["/file", 3, Errno.EINVAL],
    ["/file", 0x400000, Errno.EINVAL],
    [`/${"n".repeat(256)}`, NEW, Errno.ENAMETOOLONG],
    ["/a\0b", NEW, Errno.EINVAL],
    ["", NEW, Errno.ENOENT],
  ])("%j with flags %i is refused", async (path, flags, error) => {
    fs.mkdirSync(host("dir"));
    put("file", "f");
    fs.symlinkSync("loop", host("loop"));
    fs.symlinkSync("none", host("link"));
    fs.symlinkSync("none/none", host("up"));
    const g = await start();
    expect(g.now("SysOpenFile", path, flags)).toBe(-error);
    expect(fs.readdirSync(root).sort()).toEqual(["dir", "file", "link", "loop", "up"]);
  });

  test("O_CREAT goes through a dangling symbolic link, also out of another directory", async () => {
    fs.mkdirSync(host("dir"));
    fs.symlinkSync("/dir/second", host("first"));
    fs.symlinkSync("../third", host("dir/second"));
    const g = await start();
    const file = g.now("SysOpenFile", "/first", NEW);
    expect(g.write(file, "through")).toBe(7);
    expect(text("third")).toBe("through");
    expect(statOf(g, "/first").size).toBe(7n);
  });

  test("names of 255 bytes, and bytes that are no UTF-8", async () => {
    const g = await start();
    expect(g.now("SysOpenFile", `/${"n".repeat(255)}`, NEW)).toBeGreaterThan(0);
    expect(g.now("SysOpenFile", Buffer.from([0x2f, 0xff, 0xfe]), NEW)).toBeGreaterThan(0);
    const names = fs.readdirSync(root, "buffer").map((name) => name.toString("latin1"));
    expect(names.sort()).toEqual(["n".repeat(255), "\xff\xfe"]);
  });

  test("a read-only volume answers EROFS, and is read as ever", async () => {
    put("f", "content");
    const g = await boot({ directory: root, readOnly: true });
    for (const flags of [FUSE_O_WRONLY, FUSE_O_RDWR, FUSE_O_TRUNC]) {
      expect(g.now("SysOpenFile", "/f", flags)).toBe(-Errno.EROFS);
    }
    expect(g.now("SysOpenFile", "/new", NEW)).toBe(-Errno.EROFS);
    expect(g.now("SysCreateDir", "/d", 0o755)).toBe(-Errno.EROFS);
    expect(g.now("SysUnlink", "/f")).toBe(-Errno.EROFS);
    expect(g.now("SysRename", "/f", "/g", 0)).toBe(-Errno.EROFS);
    expect(g.now("SysLink", "/f", "/g")).toBe(-Errno.EROFS);
    expect(g.now("SysSymlink", "f", "/g")).toBe(-Errno.EROFS);
    expect(g.now("SysTruncateFile", "/f", 0)).toBe(-Errno.EROFS);
    expect(g.now("SysSetMode", "/f", 0o600)).toBe(-Errno.EROFS);
    expect(g.now("SysAccessFile", "/f", 2)).toBe(-Errno.EROFS);
    const file = g.now("SysOpenFile", "/f", FUSE_O_RDONLY | FUSE_O_CREAT);
    expect(g.read(file)).toBe("content");
    expect(await g.call("SysSyncFile", file, 1)).toBe(0n);
  });
});

describe("in the guest", () => {
  const names = WebAssembly.Module.exports(image.module).map(({ name }) => name);
  for (const name of names.filter((one) => one.startsWith("test_"))) {
    test(name.replace(/^test_/, "").replaceAll("_", " "), async () => {
      const device = new FsDevice({ directory: root, tag: "site", readOnly: false });
      await runGuest(image, name, { devices: [device] });
    });
  }
});
