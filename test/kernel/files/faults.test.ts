// Errors of the host's file calls, as a thread of the guest gets them: through the device, the
// driver and the kernel's file system. And that a sync is answered by the disk.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_CREAT, FUSE_O_RDONLY, FUSE_O_RDWR } from "../../../abi/fuse.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { FileChanges, Files } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders, until } from "../../support/appliance.ts";
import { type FileCall, type FileGuest, fileGuests } from "../../support/file-guest.ts";
import { onSmallDisk } from "../../support/outside-program.ts";

const boot = await fileGuests();
const NEW = FUSE_O_RDWR | FUSE_O_CREAT;
const BUFFER_BYTES = 4096;
let root = "";

beforeEach(() => {
  root = makeFolder();
  fs.writeFileSync(join(root, "file"), "file");
  fs.writeFileSync(join(root, "other"), "other");
  fs.mkdirSync(join(root, "dir"));
});
afterEach(removeFolders);

type HostCall = keyof (Files & FileChanges);

/** The host's files; a call named in `own` is that one's. */
function filesWith(own: Partial<Record<HostCall, unknown>>): Files & FileChanges {
  return new Proxy(hostFiles(), {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
}

describe("U25: passes the errors of the host's file calls on to the guest", () => {
  type Step = [FileCall, ...(string | number)[]];
  /** Of each call of the host one of the guest that needs it; `file` and `buffer` are there. */
  const needs = (file: number, buffer: number): [HostCall, Step][] => [
    ["write", ["SysWriteFile", file, buffer, 10]],
    ["read", ["SysReadFileAt", file, buffer, 10, 0]],
    ["read", ["SysCopyFile", file, 0, file, 100, 4]],
    ["write", ["SysCopyFile", file, 0, file, 100, 4]],
    ["sync", ["SysSyncFile", file, 0]],
    ["truncate", ["SysTruncateOpenFile", file, 2]],
    ["resize", ["SysTruncateFile", "/file", 2]],
    ["open", ["SysOpenFile", "/other", FUSE_O_RDWR]],
    ["hold", ["SysStatFile", "/dir", buffer]],
    ["peek", ["SysStatFile", "/nobody", buffer]],
    ["create", ["SysCreateFile", "/new", 0o644]],
    ["makeDirectory", ["SysCreateDir", "/new", 0o755]],
    ["link", ["SysLink", "/file", "/new"]],
    ["symlink", ["SysSymlink", "file", "/new"]],
    ["rename", ["SysRename", "/file", "/new"]],
    ["unlink", ["SysUnlink", "/file"]],
    ["removeDirectory", ["SysRemoveDir", "/dir"]],
    ["chmod", ["SysSetMode", "/file", 0o600]],
    ["chown", ["SysSetOwner", "/file", process.getuid?.() ?? 0, process.getgid?.() ?? 0]],
    ["setTimes", ["SysSetTimes", "/file", 1, 1]],
    ["access", ["SysAccessFile", "/file", 4]],
    ["statfs", ["SysStatFileSystem", "/file", buffer]],
  ];

  test.each([
    ["ENOSPC", Errno.ENOSPC],
    ["EACCES", Errno.EACCES],
    ["EMFILE", Errno.EMFILE],
    ["EIO", Errno.EIO],
    ["EDQUOT", Errno.EDQUOT],
    ["EROFS", Errno.EROFS],
    ["EPERM", Errno.EPERM],
    ["ENOTHEARDOF", Errno.EIO],
  ])("%s", async (code, number) => {
    const own: Partial<Record<HostCall, unknown>> = {};
    const g = await boot({ directory: root, files: filesWith(own) });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const buffer = g.allocate(BUFFER_BYTES);
    for (const [name, [call, ...args]] of needs(file, buffer)) {
      own[name] = (...given: unknown[]) => {
        const error = Object.assign(new Error(code), { code });
        if (name !== "sync") throw error;
        setImmediate(given.at(-1) as (error: Error) => void, error);
      };
      expect([call, name, await g.call(call, ...args)]).toEqual([call, name, BigInt(-number)]);
      delete own[name];
    }
    // And all goes on, with nothing half done.
    expect(fs.readdirSync(root).sort()).toEqual(["dir", "file", "other"]);
    expect(fs.readFileSync(join(root, "file"), "utf8")).toBe("file");
    for (const [name, [call, ...args]] of needs(file, buffer)) {
      if (name === "peek" || args.includes("/new")) continue;
      expect([call, Number(await g.call(call, ...args)) >= 0]).toEqual([call, true]);
      if (call === "SysUnlink") fs.writeFileSync(join(root, "file"), "file");
    }
  });

  const isRoot = process.geteuid?.() === 0;
  test.runIf(isRoot)("EACCES of a host's user that has no right", async () => {
    fs.chmodSync(root, 0o755);
    fs.chmodSync(join(root, "file"), 0o600);
    const g = await boot({ directory: root });
    process.setegid?.(65534);
    process.seteuid?.(65534);
    try {
      expect(g.now("SysOpenFile", "/file", FUSE_O_RDONLY)).toBe(-Errno.EACCES);
      expect(g.now("SysOpenFile", "/new", NEW)).toBe(-Errno.EACCES);
      expect(g.now("SysUnlink", "/file")).toBe(-Errno.EACCES);
      expect(g.now("SysSetMode", "/file", 0o777)).toBe(-Errno.EPERM);
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
    }
  });

  test("EMFILE of a device that has no more handles, until one is closed", async () => {
    const g = await boot({ directory: root, limits: { handlesMax: 3 } });
    const open = () => g.now("SysOpenFile", "/file", FUSE_O_RDONLY);
    const files = [open(), open(), open()];
    expect(Math.min(...files)).toBeGreaterThan(0);
    expect(open()).toBe(-Errno.EMFILE);
    expect(g.now("SysCloseFile", files[1] as number)).toBe(0);
    expect(open()).toBeGreaterThan(0);
  });

  onSmallDisk(65536, "ENOSPC of a disk that is full, and room that comes back", async (disk) => {
    const g = await boot({ directory: disk });
    const file = g.now("SysOpenFile", "/full", NEW);
    const block = new Uint8Array(BUFFER_BYTES).fill(0x61);
    let written = 0;
    let got = g.write(file, block);
    for (; got > 0; got = g.write(file, block)) written += got;
    expect(got).toBe(-Errno.ENOSPC);
    expect(written).toBeGreaterThan(BUFFER_BYTES);
    expect(fs.statSync(join(disk, "full")).size).toBe(written);
    expect(await g.call("SysSyncFile", file, 0)).toBe(0n);
    expect(g.now("SysTruncateFile", "/full", 0)).toBe(0);
    expect(g.now("SysWriteFileAt", file, block, 0)).toBe(BUFFER_BYTES);
  });
});

describe("U24: SysSyncFile", () => {
  /** A guest on a disk that takes its time: until `disk` is called. */
  async function onSlowDisk() {
    const events: string[] = [];
    const host = hostFiles();
    const disk: (() => void)[] = [];
    const held =
      (name: "sync" | "syncDirectory") =>
      (...args: unknown[]) => {
        events.push(name);
        disk.push(() => Reflect.apply(host[name], host, args));
      };
    const write = (...args: Parameters<FileChanges["write"]>) => {
      events.push("write");
      return host.write(...args);
    };
    const own = { write, sync: held("sync"), syncDirectory: held("syncDirectory") };
    return { g: await boot({ directory: root, files: filesWith(own) }), events, disk };
  }
  const turns = async (g: FileGuest) => {
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      g.advance(1000);
    }
  };

  test.each([
    ["a file", "/file", "sync"],
    ["a directory", "/dir", "syncDirectory"],
  ])("of %s returns when the disk has answered, and not before", async (_, path, name) => {
    const { g, events, disk } = await onSlowDisk();
    const file = g.now("SysOpenFile", path, path === "/file" ? FUSE_O_RDWR : FUSE_O_RDONLY);
    if (path === "/file") expect(g.write(file, "text")).toBe(4);
    else g.now("SysCreateFile", "/dir/new", 0o644);
    const sync = g.start("SysSyncFile", file, 0);
    await turns(g);
    expect(sync.result).toBeUndefined();
    expect(events).toEqual(path === "/file" ? ["write", name] : [name]);
    disk[0]?.();
    await until(() => {
      g.settle();
      return sync.result !== undefined;
    });
    expect(sync.result).toBe(0n);
  });
});
