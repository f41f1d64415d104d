// Threads that are killed in the middle of a file call, against a scripted device: what
// the call held is given back.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import {
  FUSE_O_CREAT,
  FUSE_O_DIRECTORY,
  FUSE_O_RDWR,
  FUSE_O_TRUNC,
  FuseOpcode,
  FuseOpenOut,
} from "../../../abi/fuse.ts";
import { fileGuests } from "../../support/file-guest.ts";
import {
  attributes,
  entry,
  FILE,
  init,
  type Request,
  type ScriptedFs,
} from "../../support/fs-script.ts";
import { created, MADE, writableFs } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const INDIRECT_DESC = 1n << 28n;
const late = (opcode: number, afterMs: number, payload?: Uint8Array) => (request: Request) =>
  request.opcode === opcode ? { afterMs, ...(payload && { payload }) } : undefined;
const count = (device: ScriptedFs, opcode: number) =>
  device.opcodes().filter((one) => one === opcode).length;

describe("a thread that is killed", () => {
  const handle = new Uint8Array(FuseOpenOut.sizeof);
  test.each<[string, number, Uint8Array, string, number, number]>([
    ["opens a file", FuseOpcode.OPEN, handle, "/file", FUSE_O_RDWR, FuseOpcode.RELEASE],
    [
      "makes a file",
      FuseOpcode.CREATE,
      created(entry(MADE)),
      "/new",
      FUSE_O_RDWR | FUSE_O_CREAT,
      FuseOpcode.RELEASE,
    ],
    [
      "empties a file",
      FuseOpcode.SETATTR,
      attributes(FILE),
      "/file",
      FUSE_O_RDWR | FUSE_O_TRUNC,
      FuseOpcode.RELEASE,
    ],
    [
      "opens a directory",
      FuseOpcode.OPENDIR,
      handle,
      "/sub",
      FUSE_O_DIRECTORY,
      FuseOpcode.RELEASEDIR,
    ],
  ])("while it %s leaves nothing open", async (_, opcode, answer, path, flags, release) => {
    const device = writableFs(late(opcode, 10, answer));
    const g = await boot({ device });
    const opened = g.start("SysOpenFile", path, flags);
    g.machine.call("SysKillThread", opened.thread);
    g.advance(10);
    expect(opened.result).toBeUndefined();
    expect(g.machine.call("unfinished")).toBe(0);
    expect(g.machine.call("openFiles")).toBe(0);
    expect(count(device, release)).toBe(1);
  });

  test("while it mounts leaves a mount and no memory behind", async () => {
    const device = writableFs(late(FuseOpcode.INIT, 10, init()));
    const g = await boot({ device, mounts: false });
    const mount = g.start("SysMount", "site", "/");
    g.machine.call("SysKillThread", mount.thread);
    g.advance(10);
    expect(g.machine.call("unfinished")).toBe(0);
    expect(typeof g.stat("/file")).toBe("object");
    expect(g.now("SysMount", "site", "/")).toBe(-Errno.EBUSY);
  });

  test("while it waits to close a file of a device that fails leaves no memory behind", async () => {
    const hold = late(FuseOpcode.WRITE, -1);
    const device = writableFs(hold, { queueSizesMax: [64, 4] });
    const g = await boot({ device, withheld: INDIRECT_DESC });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const other = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const before = g.machine.call("heapBlocks");
    const write = g.start("SysWriteFile", file, "x");
    const close = g.start("SysCloseFile", other);
    g.machine.call("SysKillThread", close.thread);
    g.advance(300_000);
    expect(write.result).toBe(BigInt(-Errno.EIO));
    expect(g.machine.call("unfinished")).toBe(0);
    expect(Number(g.machine.call("heapBlocks"))).toBeLessThan(Number(before));
  });
});
