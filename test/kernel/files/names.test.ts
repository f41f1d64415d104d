// The guest's calls on names and attributes against the real device over a temporary directory, and
// what the guest believes of them afterwards.
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_CREAT, FUSE_O_RDONLY, FUSE_O_RDWR, FUSE_O_WRONLY } from "../../../abi/fuse.ts";
import { FsDevice } from "../../../host/node/devices.ts";
import {
  type FileCall,
  type FileGuest,
  fileGuests,
  type GuestStat,
} from "../../support/file-guest.ts";

const boot = await fileGuests();
const NEW = FUSE_O_RDWR | FUSE_O_CREAT;
let root = "";
const host = (name: string) => join(root, name);
const put = (name: string, content: string) => fs.writeFileSync(host(name), content);

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "torito-names-"));
  fs.mkdirSync(host("dir/sub"), { recursive: true });
  put("file", "content");
  put("dir/inside", "in");
  fs.symlinkSync("dir", host("to-dir"));
  fs.symlinkSync("nothing", host("dangling"));
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
});

const start = () => boot({ directory: root });
function statOf(g: FileGuest, what: string | number, call?: FileCall): GuestStat {
  const stat = g.stat(what, call);
  if (typeof stat === "number") throw new Error(`stat ${what}: ${stat}`);
  return stat;
}
/** Everything below the directory, as `find` tells it. */
const tree = () =>
  (fs.readdirSync(root, { recursive: true }) as string[])
    .filter((name) => !name.startsWith("to-dir/")) // some versions of Node follow the link
    .sort();
const TREE = ["dangling", "dir", "dir/inside", "dir/sub", "file", "to-dir"];

describe("names", () => {
  test("a directory is made and removed, with and without slashes", async () => {
    const g = await start();
    expect(g.now("SysCreateDir", "/a", 0o750)).toBe(0);
    expect(g.now("SysCreateDir", "//a///b//", 0o755)).toBe(0);
    expect(statOf(g, "/a").mode).toBe(0o40750);
    expect(fs.statSync(host("a")).mode & 0o7777).toBe(0o750);
    expect(g.now("SysRemoveDir", "/a")).toBe(-Errno.ENOTEMPTY);
    expect(g.now("SysRemoveDir", "/a/b/")).toBe(0);
    expect(g.stat("/a/b")).toBe(-Errno.ENOENT);
    expect(g.now("SysRemoveDir", "a")).toBe(0);
    expect(tree()).toEqual(TREE);
  });

  const refusals: [FileCall, (string | number)[], number][] = [
    ["SysCreateDir", ["/dir", 0o755], Errno.EEXIST],
    ["SysCreateDir", ["/", 0o755], Errno.EEXIST],
    ["SysCreateDir", ["/dir/.", 0o755], Errno.EEXIST],
    ["SysCreateDir", ["/dir/..", 0o755], Errno.EEXIST],
    ["SysCreateDir", ["/dangling", 0o755], Errno.EEXIST],
    ["SysCreateDir", ["/file/x", 0o755], Errno.ENOTDIR],
    ["SysCreateDir", ["/none/x", 0o755], Errno.ENOENT],
    ["SysCreateDir", [`/${"x".repeat(256)}`, 0o755], Errno.ENAMETOOLONG],
    ["SysCreateDir", [`/${"x/".repeat(2048)}`, 0o755], Errno.ENAMETOOLONG],
    ["SysRemoveDir", ["/"], Errno.EBUSY],
    ["SysRemoveDir", ["/dir/."], Errno.EINVAL],
    ["SysRemoveDir", ["/dir/sub/.."], Errno.ENOTEMPTY],
    ["SysRemoveDir", ["/file"], Errno.ENOTDIR],
    ["SysRemoveDir", ["/to-dir/"], Errno.ENOTDIR],
    ["SysRemoveDir", ["/dir"], Errno.ENOTEMPTY],
    ["SysRemoveDir", ["/none"], Errno.ENOENT],
    ["SysUnlink", ["/"], Errno.EISDIR],
    ["SysUnlink", ["/dir"], Errno.EISDIR],
    ["SysUnlink", ["/dir/.."], Errno.EISDIR],
    ["SysUnlink", ["/file/"], Errno.ENOTDIR],
    ["SysUnlink", ["/to-dir/"], Errno.ENOTDIR],
    ["SysUnlink", ["/none"], Errno.ENOENT],
    ["SysUnlink", ["/file/x"], Errno.ENOTDIR],
    ["SysUnlink", [""], Errno.ENOENT],
    ["SysRename", ["/none", "/x", 0], Errno.ENOENT],
    ["SysRename", ["/file", "/none/x", 0], Errno.ENOENT],
    ["SysRename", ["/file", "/x/", 0], Errno.ENOTDIR],
    ["SysRename", ["/file/", "/x", 0], Errno.ENOTDIR],
    ["SysRename", ["/file", "/dir", 0], Errno.EISDIR],
    ["SysRename", ["/dir", "/file", 0], Errno.ENOTDIR],
    ["SysRename", ["/dir/sub", "/dir", 0], Errno.ENOTEMPTY],
    ["SysRename", ["/dir", "/dir/sub/x", 0], Errno.EINVAL],
    ["SysRename", ["/", "/x", 0], Errno.EBUSY],
    ["SysRename", ["/dir/.", "/x", 0], Errno.EBUSY],
    ["SysRename", ["/file", "/dir/..", 0], Errno.EBUSY],
    ["SysRename", ["/file", "/dir/..", 1], Errno.EEXIST],
    ["SysRename", ["/file", "/dangling", 1], Errno.EEXIST],
    ["SysRename", ["/file", "/x", 2], Errno.EINVAL],
    ["SysLink", ["/dir", "/x"], Errno.EPERM],
    ["SysLink", ["/dir", "/file"], Errno.EEXIST],
    ["SysLink", ["/file", "/dangling"], Errno.EEXIST],
    ["SysLink", ["/file", "/."], Errno.EEXIST],
    ["SysLink", ["/file", "/x/"], Errno.ENOENT],
    ["SysLink", ["/file/", "/x"], Errno.ENOTDIR],
    ["SysLink", ["/none", "/x"], Errno.ENOENT],
    ["SysSymlink", ["", "/x"], Errno.ENOENT],
    ["SysSymlink", ["a\0b", "/x"], Errno.EINVAL],
    ["SysSymlink", ["t".repeat(4096), "/x"], Errno.ENAMETOOLONG],
    ["SysSymlink", ["t", "/x/"], Errno.ENOENT],
    ["SysSymlink", ["t", "/dir/"], Errno.EEXIST],
    ["SysSymlink", ["t", "/file"], Errno.EEXIST],
    ["SysReadLink", ["/file", 4096, 10], Errno.EINVAL],
    ["SysReadLink", ["/to-dir", 4096, 0], Errno.EINVAL],
    ["SysReadLink", ["/to-dir/", 4096, 10], Errno.EINVAL],
    ["SysTruncateFile", ["/dir", 0], Errno.EISDIR],
    ["SysTruncateFile", ["/none", 0], Errno.ENOENT],
    ["SysTruncateFile", ["/dangling", 0], Errno.ENOENT],
    ["SysTruncateFile", ["/file", -1], Errno.EINVAL],
    ["SysSetMode", ["/none", 0o600], Errno.ENOENT],
    ["SysAccessFile", ["/none", 0], Errno.ENOENT],
    ["SysAccessFile", ["/file", 8], Errno.EINVAL],
    ["SysStatFileSystem", ["/none", 4096], Errno.ENOENT],
  ];
  const titled = refusals.map(
    ([call, args, error]) => [`${call} ${args.join(" ")}`.slice(0, 60), call, args, error] as const,
  );
  test.each(titled)("%s is refused and changes nothing", async (_, call, args, error) => {
    const g = await start();
    expect(g.now(call, ...args)).toBe(-error);
    expect(tree()).toEqual(TREE);
    expect(fs.readFileSync(host("file"), "latin1")).toBe("content");
  });

  test("a file is renamed over another one, and both names are right at once", async () => {
    put("other", "other content");
    const g = await start();
    const { ino } = statOf(g, "/file");
    const victim = g.now("SysOpenFile", "/other", FUSE_O_RDONLY);
    expect(g.now("SysRename", "/file", "/other", 0)).toBe(0);
    expect(g.stat("/file")).toBe(-Errno.ENOENT);
    expect(statOf(g, "/other")).toMatchObject({ ino, size: 7n });
    expect(statOf(g, victim)).toMatchObject({ size: 13n, nlink: 0 });
    expect(g.read(victim)).toBe("other content");
  });

  test("a directory is moved with all below it, and back, and with a new one in its place", async () => {
    const g = await start();
    const inside = g.now("SysOpenFile", "/dir/inside", FUSE_O_RDWR);
    expect(statOf(g, "/dir/sub").mode >> 12).toBe(4);
    expect(g.stat("/moved/inside")).toBe(-Errno.ENOENT);
    expect(g.now("SysRename", "/dir", "/moved", 0)).toBe(0);
    expect(g.stat("/dir/inside")).toBe(-Errno.ENOENT);
    expect(statOf(g, "/moved/inside").size).toBe(2n);
    expect(g.write(inside, "more")).toBe(4);
    expect(statOf(g, "/moved/inside").size).toBe(4n);
    expect(g.now("SysCreateDir", "/dir", 0o755)).toBe(0);
    expect(g.stat("/dir/inside")).toBe(-Errno.ENOENT);
    expect(g.now("SysRename", "/moved/", "/dir/", 0)).toBe(0);
    expect(statOf(g, "/dir/inside").size).toBe(4n);
    expect(g.stat("/moved")).toBe(-Errno.ENOENT);
    expect(tree()).toEqual(TREE);
  });

  test("two names of one file: a rename of one to the other leaves both", async () => {
    const g = await start();
    expect(g.now("SysLink", "/file", "/dir/second")).toBe(0);
    expect(statOf(g, "/file").nlink).toBe(2);
    expect(g.now("SysRename", "/file", "/dir/second", 0)).toBe(0);
    expect(statOf(g, "/file").ino).toBe(statOf(g, "/dir/second").ino);
    expect(g.now("SysUnlink", "/file")).toBe(0);
    expect(statOf(g, "/dir/second").nlink).toBe(1);
  });

  test("a file is linked by any of its names, when the one that was made last has gone", async () => {
    const g = await start();
    expect(g.now("SysLink", "/file", "/second")).toBe(0);
    expect(g.now("SysUnlink", "/second")).toBe(0);
    expect(g.now("SysLink", "/file", "/dir/third")).toBe(0);
    expect(statOf(g, "/dir/third").nlink).toBe(2);
    fs.unlinkSync(host("file"));
    fs.unlinkSync(host("dir/third"));
    expect(g.now("SysLink", "/file", "/fourth")).toBe(-Errno.ENOENT);
  });

  test("shows a change by one name through the other at once", async () => {
    const g = await start();
    expect(g.now("SysLink", "/file", "/second")).toBe(0);
    const file = g.now("SysOpenFile", "/second", FUSE_O_WRONLY);
    expect(statOf(g, "/file").size).toBe(7n);
    expect(g.now("SysWriteFileAt", file, "long content", 0)).toBe(12);
    expect(statOf(g, "/file").size).toBe(12n);
    expect(g.now("SysSetMode", "/file", 0o600)).toBe(0);
    expect(statOf(g, "/second").mode).toBe(0o100600);
    expect(statOf(g, file).mode).toBe(0o100600);
  });

  test("U19 a file without a name works on by its handle, and goes when that is closed", async () => {
    const g = await start();
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.now("SysUnlink", "/file")).toBe(0);
    expect(g.stat("/file")).toBe(-Errno.ENOENT);
    expect(g.now("SysWriteFileAt", file, "more", 7)).toBe(4);
    expect(statOf(g, file)).toMatchObject({ size: 11n, nlink: 0 });
    expect(g.now("SysTruncateOpenFile", file, 9)).toBe(0);
    expect(g.read(file)).toBe("contentmo");
    expect(await g.call("SysSyncFile", file, 0)).toBe(0n);
    const again = g.now("SysOpenFile", "/file", NEW);
    expect(statOf(g, again).size).toBe(0n);
    expect(statOf(g, file).size).toBe(9n);
    expect(g.now("SysCloseFile", file)).toBe(0);
  });

  test("a negative entry ends with the name that is made, however it is made", async () => {
    const g = await start();
    const makers: [string, () => number][] = [
      ["/a", () => g.now("SysCreateDir", "/a", 0o755)],
      ["/b", () => g.now("SysSymlink", "file", "/b")],
      ["/c", () => g.now("SysLink", "/file", "/c")],
      ["/d", () => g.now("SysCreateFile", "/d", 0o644)],
      ["/e", () => g.now("SysRename", "/d", "/e", 0)],
    ];
    for (const [name, make] of makers) {
      expect(g.stat(name), name).toBe(-Errno.ENOENT);
      expect(make(), name).toBeGreaterThanOrEqual(0);
      expect(typeof g.stat(name), name).toBe("object");
    }
  });

  test("symbolic links have a text of up to 4095 bytes, and attributes of their own", async () => {
    const g = await start();
    const long = `${"./".repeat(2044)}filexyz`;
    expect(long.length).toBe(4095);
    expect(g.now("SysSymlink", long, "/to-dir/link")).toBe(0);
    expect(g.readLink("/dir/link")).toBe(long);
    expect(fs.readlinkSync(host("dir/link"))).toBe(long);
    expect(statOf(g, "/dir/link", "SysStatLink").mode >> 12).toBe(10);
    expect(g.stat("/dangling")).toBe(-Errno.ENOENT);
    expect(statOf(g, "/dangling", "SysStatLink").size).toBe(7n);
    expect(statOf(g, "/to-dir/", "SysStatLink").mode >> 12).toBe(4);
    expect(g.now("SysLink", "/dangling", "/second")).toBe(0);
    expect(g.readLink("/second")).toBe("nothing");
    expect(g.now("SysUnlink", "/to-dir")).toBe(0);
    expect(statOf(g, "/dir").mode >> 12).toBe(4);
  });

  test("shows a change of the host after the time-out", async () => {
    const g = await start();
    expect(g.now("SysCreateFile", "/mine", 0o644)).toBeGreaterThan(0);
    fs.rmSync(host("mine"));
    fs.appendFileSync(host("file"), "+");
    expect(statOf(g, "/file").size).toBe(8n);
    g.advance(1000);
    expect(g.stat("/mine")).toBe(-Errno.ENOENT);
    put("mine", "again");
    g.advance(1000);
    expect(statOf(g, "/mine").size).toBe(5n);
  });

  test("a parent's times and links are right after each change in it", async () => {
    const g = await start();
    const changes: [FileCall, ...(string | number)[]][] = [
      ["SysCreateDir", "/dir/new", 0o755],
      ["SysRename", "/dir/new", "/dir/newer", 0],
      ["SysRemoveDir", "/dir/newer"],
      ["SysSymlink", "x", "/dir/link"],
      ["SysUnlink", "/dir/link"],
    ];
    for (const [call, ...args] of changes) {
      statOf(g, "/dir");
      expect(g.now(call, ...args)).toBe(0);
      const { mtimeNs, nlink } = fs.statSync(host("dir"), { bigint: true });
      expect(statOf(g, "/dir"), call).toMatchObject({ mtimeNs, nlink: Number(nlink) });
    }
  });

  test("between mounts nothing is linked or moved; a mount's root stays where it is", async () => {
    const other = fs.mkdtempSync(join(tmpdir(), "torito-other-"));
    const device = new FsDevice({ directory: other, tag: "other", readOnly: false });
    const g = await boot({ directory: root, others: [device] });
    expect(await g.call("SysMount", "other", "/mnt")).toBe(0n);
    expect(g.now("SysRename", "/file", "/mnt/file", 0)).toBe(-Errno.EXDEV);
    expect(g.now("SysLink", "/file", "/mnt/file")).toBe(-Errno.EXDEV);
    expect(g.now("SysRename", "/mnt", "/x", 0)).toBe(-Errno.EBUSY);
    expect(g.now("SysRename", "/file", "/mnt/", 0)).toBe(-Errno.EBUSY);
    expect(g.now("SysRename", "/file", "/mnt", 1)).toBe(-Errno.EEXIST);
    expect(g.now("SysLink", "/file", "/mnt")).toBe(-Errno.EEXIST);
    expect(g.now("SysLink", "/mnt", "/x")).toBe(-Errno.EXDEV);
    expect(g.now("SysUnlink", "/mnt")).toBe(-Errno.EISDIR);
    expect(g.now("SysRename", "/mnt", "/mnt/x", 0)).toBe(-Errno.EBUSY);
    expect(g.now("SysRemoveDir", "/mnt")).toBe(-Errno.EBUSY);
    expect(g.now("SysRemoveDir", "/.//mnt")).toBe(-Errno.EBUSY);
    expect(g.now("SysSymlink", "/mnt/file", "/to-mnt")).toBe(0);
    expect(g.stat("/to-mnt")).toBe(-Errno.ENOENT); // there is none at "/"
    expect(g.now("SysCreateDir", "/mnt", 0o755)).toBe(-Errno.EEXIST);
    const from = g.now("SysOpenFile", "/file", FUSE_O_RDONLY);
    const to = g.now("SysOpenFile", "/mnt/file", NEW);
    expect(g.now("SysCopyFile", from, 0, to, 0, 7)).toBe(-Errno.EXDEV);
    fs.rmSync(other, { recursive: true });
  });
});

describe("attributes", () => {
  test("size, permissions and owner are what was set, on both sides", async () => {
    const g = await start();
    expect(g.now("SysTruncateFile", "/to-dir/inside", 100)).toBe(0);
    expect(statOf(g, "/dir/inside").size).toBe(100n);
    expect(g.now("SysSetMode", "/dir/inside", 0o1640)).toBe(0);
    expect(statOf(g, "/dir/inside").mode).toBe(0o101640);
    const { uid, gid, size, mode } = fs.statSync(host("dir/inside"));
    expect([size, mode & 0o777]).toEqual([100, 0o640]);
    expect(g.now("SysSetOwner", "/dir/inside", uid, gid)).toBe(0);
    expect(g.now("SysSetOwner", "/dir/inside", 0xffffffff, 0xffffffff)).toBe(0);
    expect(statOf(g, "/dir/inside")).toMatchObject({ uid, gid });
    const reader = g.now("SysOpenFile", "/file", FUSE_O_RDONLY);
    expect(g.now("SysTruncateOpenFile", reader, 0)).toBe(-Errno.EINVAL);
    expect(g.now("SysTruncateOpenFile", 99, 0)).toBe(-Errno.EBADF);
  });

  const NOW = -(1n << 63n);
  const OMIT = NOW + 1n;
  test("times before 1970, beyond 2^53 ns and to the microsecond; now and not at all", async () => {
    const g = await start();
    const early = -1_500_000_000n;
    const late = 4_000_000_000_123_456_000n;
    expect(await g.call("SysSetTimes", "/file", early, late)).toBe(0n);
    expect(statOf(g, "/file")).toMatchObject({ atimeNs: early, mtimeNs: late });
    expect(fs.statSync(host("file"), { bigint: true })).toMatchObject({
      atimeNs: early,
      mtimeNs: late,
    });
    const before = BigInt(Date.now() - 1000) * 1_000_000n;
    expect(await g.call("SysSetTimes", "/file", NOW, OMIT)).toBe(0n);
    const { atimeNs, mtimeNs } = statOf(g, "/file");
    expect(atimeNs).toBeGreaterThan(before);
    expect(mtimeNs).toBe(late);
    expect(await g.call("SysSetTimes", "/file", OMIT, OMIT)).toBe(0n);
    expect(statOf(g, "/file").mtimeNs).toBe(late);
  });

  test("rights and room", async () => {
    const g = await start();
    fs.chmodSync(host("file"), 0o600);
    expect(g.now("SysAccessFile", "/file", 0)).toBe(0);
    expect(g.now("SysAccessFile", "/file", 6)).toBe(0);
    expect(g.now("SysAccessFile", "/file", 1)).toBe(-Errno.EACCES);
    const at = g.allocate(48);
    expect(g.now("SysStatFileSystem", "/to-dir", at)).toBe(0);
    const { view } = g.machine.memory;
    const { blocks, bsize } = fs.statfsSync(root);
    expect(Number(view.getBigUint64(at, true))).toBe(blocks);
    expect([view.getUint32(at + 40, true), view.getUint32(at + 44, true)]).toEqual([bsize, 255]);
  });
});

test("after a thousand rounds of all of it heap, names and handles are as after the first", async () => {
  const g = await start();
  const round = () => {
    const file = g.now("SysCreateFile", "/dir/new", 0o644);
    expect(g.write(file, "text")).toBe(4);
    for (const [call, ...args] of [
      ["SysCreateDir", "/made", 0o755],
      ["SysRename", "/dir/new", "/made/new", 0],
      ["SysRename", "/made", "/moved", 0],
      ["SysLink", "/moved/new", "/second"],
      ["SysSymlink", "moved/new", "/link"],
      ["SysTruncateFile", "/link", 2],
      ["SysUnlink", "/second"],
      ["SysUnlink", "/link"],
      ["SysUnlink", "/moved/new"],
      ["SysRemoveDir", "/moved"],
      ["SysCloseFile", file],
    ] as [FileCall, ...(string | number)[]][]) {
      expect(g.now(call, ...args), `${call} ${args}`).toBe(0);
    }
    expect(g.now("SysOpenFile", "/none/x", NEW)).toBe(-Errno.ENOENT);
    expect(g.now("SysRename", "/dir", "/dir/sub/x", 0)).toBe(-Errno.EINVAL);
  };
  const counts = () => ["inUse", "heapBlocks", "knownNodes", "openFiles"].map(count);
  const count = (name: string) => Number(g.machine.call(name));
  round();
  const before = counts();
  for (let i = 0; i < 1000; i++) round();
  expect(counts()).toEqual(before);
  expect(tree()).toEqual(TREE);
});
