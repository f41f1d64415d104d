// The guest's virtio-fs driver while a request that changes something is answered late, or never:
// which threads wait, which go on, and what is cached afterwards.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_RDWR, FuseOpcode } from "../../../abi/fuse.ts";
import { fileGuests } from "../../support/file-guest.ts";
import {
  entry,
  type Request,
  type ScriptedFs,
  type ScriptOptions,
} from "../../support/fs-script.ts";
import { writableFs, wrote } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const MINUTE = 60_000;
const late = (opcode: number, afterMs: number) => (request: Request) =>
  request.opcode === opcode ? { afterMs } : undefined;
const count = (device: ScriptedFs, opcode: number) =>
  device.opcodes().filter((one) => one === opcode).length;
const queueOf = (device: ScriptedFs, opcode: number) =>
  device.requests.find((one) => one.opcode === opcode)?.queue;

/** A guest with /file open, against a device that answers FSYNC that late. */
async function syncing(afterMs: number, options: ScriptOptions = {}, withheld = 0n) {
  const device = writableFs(late(FuseOpcode.FSYNC, afterMs), options);
  const g = await boot({ device, withheld });
  const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
  return { g, device, file };
}
const queues = (n: number, size = 64) => ({
  requestQueues: n,
  queueSizesMax: Array.from({ length: n + 1 }, () => size),
});

describe("fsync", () => {
  test.each([1, 2, 3, 4, 9])(
    "of %i request queues the last of those used takes it, and others go on",
    async (n) => {
      const { g, device, file } = await syncing(MINUTE, queues(n));
      const sync = g.start("SysSyncFile", file, 0);
      expect(g.write(file, "meanwhile")).toBe(9);
      expect(typeof g.stat("/file")).toBe("object");
      expect(g.now("SysCreateDir", "/new", 0o755)).toBe(0);
      g.advance(MINUTE - 1);
      expect(typeof g.stat("/file")).toBe("object");
      expect(sync.result).toBeUndefined();
      g.advance(1);
      expect(sync.result).toBe(0n);
      expect(device.resets).toBe(0);
      const used = Math.min(n, 4);
      expect(queueOf(device, FuseOpcode.FSYNC)).toBe(used);
      if (n > 1) expect(queueOf(device, FuseOpcode.WRITE)).not.toBe(used);
    },
  );

  test("F3: requests that are not answered at once are spread over the other queues", async () => {
    const device = writableFs(late(FuseOpcode.GETATTR, 10), { ...queues(4) });
    const g = await boot({ device, mounts: false });
    const mounted = g.start("SysMount", "site", "/");
    g.advance(10);
    expect(mounted.result).toBe(0n);
    g.advance(2000);
    const calls = Array.from({ length: 6 }, () => g.start("SysStatFile", "/", 4096));
    const asked = device.requests.slice(-6).map(({ queue }) => queue);
    expect(asked.sort()).toEqual([1, 1, 2, 2, 3, 3]);
    g.advance(10);
    expect(calls.map(({ result }) => result)).toEqual(Array(6).fill(0n));
  });

  test("a slow disk is no dead device for 5 minutes; then it is", async () => {
    const { g, device, file } = await syncing(-1);
    const sync = g.start("SysSyncFile", file, 1);
    g.advance(5 * MINUTE - 1);
    expect(sync.result).toBeUndefined();
    expect(device.resets).toBe(0);
    g.advance(1);
    expect(sync.result).toBe(BigInt(-Errno.EIO));
    expect(device.resets).toBe(1);
    expect(g.write(file, "x")).toBe(-Errno.EIO);
    expect(g.now("SysSyncFile", file, 0)).toBe(-Errno.EIO);
    expect(g.now("SysUnlink", "/file")).toBe(-Errno.EIO);
    expect(g.now("SysCloseFile", file)).toBe(0);
  });

  test("any other request may be as late: a disk that hangs is no dead device", async () => {
    const device = writableFs(({ opcode }) =>
      opcode === FuseOpcode.WRITE ? { payload: wrote(1), afterMs: 4 * MINUTE } : undefined,
    );
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const write = g.start("SysWriteFile", file, "x");
    g.advance(MINUTE);
    expect(typeof g.stat("/file")).toBe("object");
    expect(write.result).toBeUndefined();
    g.advance(3 * MINUTE);
    expect(write.result).toBe(1n);
    expect(device.resets).toBe(0);
  });

  test("a hundred threads in it: half of the requests are theirs, others find one", async () => {
    const { g, device, file } = await syncing(20_000);
    const syncs = Array.from({ length: 100 }, () => g.start("SysSyncFile", file, 0));
    expect(count(device, FuseOpcode.FSYNC)).toBe(32);
    g.advance(10_000);
    expect(g.write(file, "meanwhile")).toBe(9);
    for (let i = 0; i < 4; i++) g.advance(20_000);
    expect(syncs.map(({ result }) => result)).toEqual(Array(100).fill(0n));
    expect(count(device, FuseOpcode.FSYNC)).toBe(100);
    expect(device.resets).toBe(0);
  });

  test("in a ring with room for one request others wait for it, however long, and then go on", async () => {
    const { g, device, file } = await syncing(MINUTE, queues(1, 4), 1n << 28n);
    const sync = g.start("SysSyncFile", file, 0);
    const stat = g.start("SysStatFile", "/sub", 4096);
    const second = g.start("SysSyncFile", file, 0);
    g.advance(MINUTE - 1);
    expect(stat.result).toBeUndefined();
    g.advance(1);
    expect([sync.result, stat.result]).toEqual([0n, 0n]);
    g.advance(MINUTE);
    expect(second.result).toBe(0n);
    expect(device.resets).toBe(0);
  });

  test("a thread that is killed in it ends after the answer, and gives its request back", async () => {
    const { g, device, file } = await syncing(MINUTE);
    for (let i = 0; i < 40; i++) {
      const sync = g.start("SysSyncFile", file, 0);
      g.machine.call("SysKillThread", sync.thread);
      g.settle();
      expect(sync.result).toBeUndefined();
    }
    g.advance(MINUTE);
    g.advance(MINUTE);
    expect(g.machine.call("unfinished")).toBe(0);
    const last = g.start("SysSyncFile", file, 0);
    g.advance(MINUTE);
    expect(last.result).toBe(0n);
    expect(device.resets).toBe(0);
  });

  test("a file that is closed during it is released after it", async () => {
    const { g, device, file } = await syncing(1000);
    const sync = g.start("SysSyncFile", file, 0);
    expect(g.now("SysCloseFile", file)).toBe(0);
    expect(count(device, FuseOpcode.RELEASE)).toBe(0);
    g.advance(1000);
    expect(sync.result).toBe(0n);
    expect(device.opcodes().at(-1)).toBe(FuseOpcode.RELEASE);
  });

  test("its error arrives as it is", async () => {
    const device = writableFs(({ opcode }) =>
      opcode === FuseOpcode.FSYNC ? { error: -Errno.ENOSPC } : undefined,
    );
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.now("SysSyncFile", file, 0)).toBe(-Errno.ENOSPC);
  });
});

describe("an answer that was overtaken by a change is not believed", () => {
  /** The first request of that kind, once it is armed, is answered late. */
  function racing(opcode: number) {
    let armed = false;
    const device = writableFs((request) => {
      if (!armed || request.opcode !== opcode) return undefined;
      armed = false;
      return { afterMs: 100 };
    });
    return {
      device,
      arm: () => {
        armed = true;
      },
    };
  }

  test.each([
    ["SysUnlink", ["/file"]],
    ["SysRename", ["/sub", "/file", 0]],
  ] as const)("a name, by %s", async (call, args) => {
    const { device, arm } = racing(FuseOpcode.LOOKUP);
    const g = await boot({ device });
    arm();
    const stat = g.start("SysStatFile", "/file", 4096);
    expect(stat.result).toBeUndefined();
    expect(g.now(call, ...args)).toBe(0);
    g.advance(100);
    expect(stat.result).toBe(0n);
    const before = count(device, FuseOpcode.LOOKUP);
    g.now("SysStatFile", "/file", 4096);
    expect(count(device, FuseOpcode.LOOKUP)).toBe(before + 1);
    g.now("SysStatFile", "/file", 4096);
    expect(count(device, FuseOpcode.LOOKUP)).toBe(before + 1);
  });

  test("attributes, by a write", async () => {
    const { device, arm } = racing(FuseOpcode.GETATTR);
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.write(file, "x")).toBe(1);
    arm();
    const stat = g.start("SysStatFile", "/file", 4096);
    expect(g.write(file, "y")).toBe(1);
    g.advance(100);
    expect(stat.result).toBe(0n);
    const before = count(device, FuseOpcode.GETATTR);
    g.now("SysStatFile", "/file", 4096);
    g.now("SysStatFile", "/file", 4096);
    expect(count(device, FuseOpcode.GETATTR)).toBe(before + 1);
  });
});

describe("U17: a missing file stays missing until it is made", () => {
  test.each([
    ["SysCreateFile", ["/new", 0o644]],
    ["SysCreateDir", ["/new", 0o755]],
    ["SysSymlink", ["text", "/new"]],
    ["SysLink", ["/file", "/new"]],
    ["SysRename", ["/file", "/new", 0]],
    ["SysRename", ["/file", "/new", 1]],
  ] as const)("by %s(%j)", async (call, args) => {
    let made = false;
    const device = writableFs(({ opcode, arguments: name }) => {
      if (opcode !== FuseOpcode.LOOKUP || name.toString() !== "new\0") return undefined;
      return { error: 0, payload: entry(made ? 9 : 0) };
    });
    const g = await boot({ device });
    expect(g.stat("/new")).toBe(-Errno.ENOENT);
    const before = count(device, FuseOpcode.LOOKUP);
    expect(g.stat("/new")).toBe(-Errno.ENOENT);
    expect(count(device, FuseOpcode.LOOKUP)).toBe(before);
    expect(g.now(call, ...args)).toBeGreaterThanOrEqual(0);
    made = true;
    expect(typeof g.stat("/new", "SysStatLink")).toBe("object");
  });
});

describe("in a ring with room for one request", () => {
  test("a suspended thread with the only request holds up others, but the device is not to blame", async () => {
    const device = writableFs(
      ({ opcode }) =>
        opcode === FuseOpcode.WRITE ? { afterMs: 10, payload: wrote(4) } : undefined,
      queues(1, 4),
    );
    const g = await boot({ device, withheld: 1n << 28n });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const write = g.start("SysWriteFile", file, "text");
    g.machine.call("SysSuspendThread", write.thread);
    const stat = g.start("SysStatFile", "/sub", 4096);
    g.advance(60_000);
    expect([write.result, stat.result]).toEqual([undefined, undefined]);
    g.machine.call("SysResumeThread", write.thread);
    g.settle();
    expect([write.result, stat.result]).toEqual([4n, 0n]);
    expect(device.resets).toBe(0);
  });

  test("fsync that waits for a RELEASE without an answer ends with the device", async () => {
    const device = writableFs(late(FuseOpcode.RELEASE, -1), queues(1, 4));
    const g = await boot({ device, withheld: 1n << 28n });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const other = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.now("SysCloseFile", other)).toBe(0);
    const sync = g.start("SysSyncFile", file, 0);
    g.advance(5 * MINUTE);
    g.advance(5 * MINUTE);
    expect(sync.result).toBe(BigInt(-Errno.EIO));
    expect(device.resets).toBe(1);
  });
});
