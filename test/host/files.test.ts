// The Files port: what devices rely on, held by each implementation in the same way. And the calls
// of MemoryFiles for its owner, and its bounds.
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { MemoryFiles } from "../../host/node/devices.ts";
import { hostFiles } from "../../host/node/files/host-files.ts";
import { PathFiles } from "../../host/node/files/path-files.ts";
import type { FileChanges, Files } from "../../host/ports/files.ts";

const [O_RDONLY, O_WRONLY, O_RDWR, O_APPEND] = [0, 1, 2, 0x400];
const [S_IFDIR, S_IFREG, S_IFLNK] = [0o040000n, 0o100000n, 0o120000n];
const name = (text: string) => Buffer.from(text, "latin1");
const code = (call: () => unknown) => {
  try {
    call();
    return "no error";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};

let umask = 0;
beforeAll(() => {
  umask = process.umask(0);
});
afterAll(() => void process.umask(umask));

const IMPLEMENTATIONS: [string, boolean, () => Files & FileChanges][] = [
  ["memory", false, () => new MemoryFiles()],
  ["by descriptors", true, hostFiles],
  ["by paths", true, () => new PathFiles()],
];

describe.each(IMPLEMENTATIONS)("files: %s", (_, isReal, make) => {
  let folder = "/";
  let files: Files & FileChanges;
  let root: number;

  beforeEach(() => {
    if (isReal) folder = mkdtempSync(join(tmpdir(), "torito-files-"));
    if (isReal) chmodSync(folder, 0o755);
    files = make();
    root = files.root(folder);
  });
  afterEach(() => {
    files.drop(root);
    if (isReal) rmSync(folder, { recursive: true });
  });

  function put(directory: number, of: string, text: string, flags = O_RDWR): number {
    const { descriptor, inode } = files.create(directory, name(of), flags, 0o644);
    expect(files.write(descriptor, [Buffer.from(text)], 0)).toBe(text.length);
    files.close(descriptor);
    return inode;
  }
  function get(inode: number, bytes = 100, offset: number | bigint = 0): string {
    const descriptor = files.open(inode, O_RDONLY);
    const view = Buffer.alloc(bytes);
    const got = files.read(descriptor, [view.subarray(0, 3), view.subarray(3)], offset);
    files.close(descriptor);
    return view.toString("latin1", 0, got);
  }
  const names = () => files.list(root, 100).map(({ name }) => Buffer.from(name).toString("latin1"));

  test("creates, writes and reads, at any offset", () => {
    const inode = put(root, "a", "hello, world");
    expect(get(inode)).toBe("hello, world");
    expect(get(inode, 5, 7)).toBe("world");
    expect(get(inode, 5, 12)).toBe("");
    expect(get(inode, 5, 2n ** 60n)).toBe("");
    const descriptor = files.open(inode, O_WRONLY);
    expect(files.write(descriptor, [name("H"), name("ELLO"), name("!")], 0)).toBe(6);
    expect(files.write(descriptor, [name("end")], 14)).toBe(3);
    files.close(descriptor);
    expect(get(inode)).toBe("HELLO! world\0\0end");
    expect(files.stat(inode)).toMatchObject({ mode: S_IFREG | 0o644n, nlink: 1n, size: 17n });
    files.drop(inode);
  });

  test("appends wherever the offset is, and reads with any handle that may", () => {
    const inode = put(root, "a", "one");
    const append = files.open(inode, O_RDWR | O_APPEND);
    files.write(append, [name("two")], 0);
    files.write(append, [name("three")], 1);
    files.close(append);
    expect(get(inode)).toBe("onetwothree");
    const writing = files.open(inode, O_WRONLY);
    expect(code(() => files.read(writing, [Buffer.alloc(1)], 0))).toBe("EBADF");
    files.close(writing);
    const reading = files.open(inode, O_RDONLY);
    expect(code(() => files.write(reading, [name("x")], 0))).toBe("EBADF");
    expect(code(() => files.truncate(reading, 0))).toBe("EINVAL");
    files.close(reading);
    expect(code(() => files.read(reading, [Buffer.alloc(1)], 0))).toBe("EBADF");
    files.drop(inode);
  });

  test("cuts and extends, and what was cut reads as zeros", () => {
    const inode = put(root, "a", "hello, world");
    files.resize(inode, 5);
    files.resize(inode, 8);
    expect(get(inode)).toBe("hello\0\0\0");
    const descriptor = files.open(inode, O_RDWR);
    files.truncate(descriptor, 0);
    files.truncate(descriptor, 2);
    files.close(descriptor);
    expect(get(inode)).toBe("\0\0");
    files.drop(inode);
  });

  test("lists and finds names, which are bytes", () => {
    for (const one of ["b", "a", "\xff\x01\xc3"]) files.drop(put(root, one, ""));
    expect(names().sort()).toEqual(["a", "b", "\xff\x01\xc3"]);
    expect(code(() => files.list(root, 2))).toBe("ENOMEM");
    expect(files.peek(root, name("\xff\x01\xc3"))?.size).toBe(0n);
    expect(files.peek(root, name("\xff"))).toBe(null);
    expect(code(() => files.hold(root, name("c")))).toBe("ENOENT");
    expect(code(() => files.create(root, name("a"), O_RDWR, 0o600))).toBe("EEXIST");
  });

  test("makes and removes directories, which count their names", () => {
    files.makeDirectory(root, name("d"), 0o750);
    const { inode, stat } = files.hold(root, name("d"));
    expect(stat).toMatchObject({ mode: S_IFDIR | 0o750n });
    expect(code(() => files.makeDirectory(root, name("d"), 0o700))).toBe("EEXIST");
    files.drop(put(inode, "f", "x"));
    expect(code(() => files.removeDirectory(root, name("d")))).toBe("ENOTEMPTY");
    files.unlink(inode, name("f"));
    expect(code(() => files.removeDirectory(root, name("f")))).toBe("ENOENT");
    files.removeDirectory(root, name("d"));
    expect(names()).toEqual([]);
    files.drop(inode);
  });

  test("refuses to treat files as directories, and directories as files", () => {
    files.makeDirectory(root, name("d"), 0o755);
    const file = put(root, "f", "");
    expect(code(() => files.unlink(root, name("d")))).toMatch(/^(EISDIR|EPERM)$/);
    expect(code(() => files.removeDirectory(root, name("f")))).toBe("ENOTDIR");
    expect(code(() => files.peek(file, name("x")))).toMatch(/^(ENOTDIR|no error)$/);
    expect(code(() => files.create(file, name("x"), O_RDWR, 0))).toBe("ENOTDIR");
    expect(code(() => files.list(file, 9))).toBe("ENOTDIR");
    expect(code(() => files.link(root, name("d"), root, name("e")))).toBe("EPERM");
    files.drop(file);
  });

  test("keeps a removed file for those who hold it or have it open", () => {
    const inode = put(root, "f", "still");
    const descriptor = files.open(inode, O_RDONLY);
    files.unlink(root, name("f"));
    const view = Buffer.alloc(5);
    expect(files.read(descriptor, [view], 0)).toBe(5);
    expect(view.toString()).toBe("still");
    files.close(descriptor);
    files.drop(inode);
  });

  test("gives a file a second name", () => {
    const inode = put(root, "f", "text");
    files.makeDirectory(root, name("d"), 0o755);
    const directory = files.hold(root, name("d")).inode;
    files.link(root, name("f"), directory, name("g"));
    expect(files.stat(inode).nlink).toBe(2n);
    const other = files.hold(directory, name("g"));
    expect(other.stat.ino).toBe(files.stat(inode).ino);
    expect(get(other.inode)).toBe("text");
    expect(code(() => files.link(root, name("f"), directory, name("g")))).toBe("EEXIST");
    for (const one of [inode, directory, other.inode]) files.drop(one);
  });

  test("moves names, over others of their kind only", () => {
    for (const one of ["d", "e"]) files.makeDirectory(root, name(one), 0o755);
    const [d, e] = ["d", "e"].map((one) => files.hold(root, name(one)).inode) as [number, number];
    const file = put(root, "f", "text");
    files.drop(put(d, "old", "gone"));
    files.rename(root, name("f"), d, name("old"));
    expect(get(files.hold(d, name("old")).inode)).toBe("text");
    expect(get(file)).toBe("text");
    expect(code(() => files.rename(root, name("d"), root, name("e")))).toBe("no error");
    expect(names()).toEqual(["e"]);
    expect(code(() => files.rename(root, name("none"), root, name("x")))).toBe("ENOENT");
    const moved = files.hold(root, name("e")).inode;
    expect(code(() => files.rename(root, name("e"), moved, name("in")))).toBe("EINVAL");
    files.drop(put(root, "f", ""));
    expect(code(() => files.rename(root, name("e"), root, name("f")))).toBe("ENOTDIR");
    expect(code(() => files.rename(root, name("f"), root, name("e")))).toBe("EISDIR");
    files.makeDirectory(root, name("g"), 0o755);
    expect(code(() => files.rename(root, name("g"), root, name("e")))).toBe("ENOTEMPTY");
    for (const one of [d, e, file, moved]) files.drop(one);
  });

  test("keeps the text of symbolic links, and follows none", () => {
    files.symlink(root, name("l"), name("../../etc/passwd"));
    const { inode, stat } = files.hold(root, name("l"));
    expect(stat.mode).toBe(S_IFLNK | 0o777n);
    expect(Buffer.from(files.readlink(root, name("l"))).toString()).toBe("../../etc/passwd");
    files.drop(put(root, "f", ""));
    expect(code(() => files.readlink(root, name("f")))).toBe("EINVAL");
    expect(code(() => files.symlink(root, name("l"), name("x")))).toBe("EEXIST");
    files.drop(inode);
  });

  test("changes permissions and times", () => {
    const inode = put(root, "f", "");
    files.chmod(inode, 0o6751);
    expect(files.stat(inode).mode).toBe(S_IFREG | 0o6751n);
    files.setTimes(inode, 1_000_000_001_000n, -2_000_000_000n);
    expect(files.stat(inode)).toMatchObject({
      atimeNs: 1_000_000_001_000n,
      mtimeNs: -2_000_000_000n,
    });
    files.setTimes(inode, null, "now");
    const { atimeNs, mtimeNs } = files.stat(inode);
    expect(atimeNs).toBe(1_000_000_001_000n);
    expect(mtimeNs).toBeGreaterThan(1_600_000_000_000_000_000n);
    files.access(inode, 4);
    files.drop(inode);
  });

  test("syncs, reads and writes later", async () => {
    const { descriptor, inode } = files.create(root, name("f"), O_RDWR, 0o600);
    const write = (text: string) =>
      new Promise((resolve) => {
        files.writeLater(descriptor, name(text), 0, (error, bytes) => resolve(error ?? bytes));
      });
    expect(await write("later")).toBe(5);
    expect(await new Promise((resolve) => files.sync(descriptor, true, resolve))).toBe(null);
    expect(await new Promise((resolve) => files.syncDirectory(root, resolve))).toBe(null);
    const view = Buffer.alloc(9);
    const read = new Promise((resolve) => {
      files.readLater(descriptor, view, 1, (error, bytes) => resolve(error ?? bytes));
    });
    expect([await read, view.toString("latin1", 0, 4)]).toEqual([4, "ater"]);
    files.close(descriptor);
    files.drop(inode);
  });

  test("knows the sizes of its file system, and which inodes are held", () => {
    const { bsize, blocks, bfree, ffree } = files.statfs(root);
    expect(bsize).toBeGreaterThan(0n);
    expect(bfree <= blocks && ffree >= 0n).toBe(true);
    expect(files.descriptorsMax()).toBeGreaterThan(100);
    expect(code(() => files.stat(99_999))).toBe("EBADF");
    expect(code(() => make().root(`${folder}/missing`))).toBe("ENOENT");
  });
});

describe("MemoryFiles", () => {
  test("takes files by path, gives them back, and lists them", () => {
    const files = new MemoryFiles({
      "index.html": "<p>\u00e9</p>",
      "/css/a.css": Buffer.from("a{}"),
    });
    files.writeFile("./css//b.css", "b{}");
    expect(files.paths().sort()).toEqual(["css/a.css", "css/b.css", "index.html"]);
    expect(Buffer.from(files.readFile("index.html") ?? []).toString()).toBe("<p>\u00e9</p>");
    expect(files.readFile("css")).toBe(null);
    expect(files.readFile("none")).toBe(null);
    expect([files.remove("css"), files.remove("css"), files.remove("/")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(files.paths()).toEqual(["index.html"]);
  });

  test("copies contents in and out", () => {
    const content = Buffer.from("abc");
    const files = new MemoryFiles({ a: content });
    content[0] = 0;
    const got = files.readFile("a") as Uint8Array;
    got[1] = 0;
    expect(Buffer.from(files.readFile("a") ?? []).toString()).toBe("abc");
  });

  test.each([
    ["", "EISDIR"],
    ["d", "EISDIR"],
    ["d/f/x", "ENOTDIR"],
    ["../x", "EINVAL"],
    ["a\0b", "EINVAL"],
    ["x".repeat(256), "ENAMETOOLONG"],
  ])("refuses to write %j: %s", (path, expected) => {
    const files = new MemoryFiles({ "d/f": "" });
    expect(code(() => files.writeFile(path, "x"))).toBe(expected);
  });

  test("bounds its memory, its files and its descriptors, and gives them back", () => {
    const files = new MemoryFiles({ a: new Uint8Array(600) }, { bytesMax: 1000 });
    expect(code(() => files.writeFile("b", new Uint8Array(500)))).toBe("ENOSPC");
    files.remove("a");
    files.writeFile("b", new Uint8Array(900));
    const root = files.root("/");
    const { inode } = files.hold(root, name("b"));
    expect(code(() => files.resize(inode, 2 ** 40))).toBe("ENOSPC");
    const open = Array.from({ length: 1024 }, () => files.open(inode, O_RDONLY));
    expect(code(() => files.open(inode, O_RDONLY))).toBe("EMFILE");
    files.remove("b");
    expect(code(() => files.writeFile("c", new Uint8Array(500)))).toBe("ENOSPC");
    for (const descriptor of open) files.close(descriptor);
    files.drop(inode);
    files.writeFile("c", new Uint8Array(500));
    for (let i = 0; i < 65534; i++) files.makeDirectory(root, name(`d${i}`), 0);
    expect(code(() => files.writeFile("one more", ""))).toBe("ENOSPC");
    expect(files.statfs(root).ffree).toBe(0n);
  });

  test("takes its times from the clock that it is given", () => {
    const clock = new ManualClock(5e9);
    const files = new MemoryFiles({ a: "" }, { clock });
    const root = files.root("/");
    const times = () => files.peek(root, name("a"))?.mtimeNs;
    expect(times()).toBe(5_000_000_000n);
    clock.advance(1000);
    files.writeFile("a", "x");
    expect(times()).toBe(6_000_000_000n);
  });
});
