// A virtio-fs device that was given up comes back: what is found then, and what is not.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_RDWR, FuseOpcode } from "../../../abi/fuse.ts";
import { Mmio } from "../../../abi/virtio.ts";
import { GuestError } from "../../../host/memory.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { type FileGuest, fileGuests } from "../../support/file-guest.ts";
import type { ScriptedFs } from "../../support/fs-script.ts";
import { writableFs } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const SECOND = 1000;
const LATER = 1100;
let root = "";

beforeEach(() => {
  root = makeFolder();
  fs.writeFileSync(join(root, "file"), "content");
  fs.mkdirSync(join(root, "dir"));
  fs.writeFileSync(join(root, "dir/inside"), "inside");
});
afterEach(removeFolders);

/** As if the device had been taken out and put in again: its status is 0. */
function takeOut(g: FileGuest): void {
  g.machine.registers[0]?.write(Mmio.Status, 4, 0);
}

/** A device whose first answer to READ is too long for its chain; the next ones are right. */
function breaksOnce(): ScriptedFs {
  let breaks = true;
  return writableFs(({ opcode }) => {
    if (opcode !== FuseOpcode.READ || !breaks) return undefined;
    breaks = false;
    return { used: 1 << 20 };
  });
}

describe("a device that breaks the rules", () => {
  test("is reset, and is there again a second later, with its mounts", async () => {
    const device = breaksOnce();
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.read(file)).toBe(-Errno.EIO);
    expect(g.stat("/file")).toBe(-Errno.EIO);
    g.advance(LATER);
    expect(g.stat("/file")).toMatchObject({ size: 8n });
    expect(device.opcodes().filter((one) => one === FuseOpcode.INIT)).toHaveLength(2);
    const again = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.read(again)).toBe("content!");
  });

  test("has lost what was open: -ESTALE, until it is closed", async () => {
    const g = await boot({ device: breaksOnce() });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const directory = g.now("SysOpenFile", "/sub", 0);
    g.read(file);
    g.advance(LATER);
    expect(typeof g.stat("/file")).toBe("object");
    expect(g.read(file)).toBe(-Errno.ESTALE);
    expect(g.write(file, "x")).toBe(-Errno.ESTALE);
    expect(g.stat(file)).toBe(-Errno.ESTALE);
    expect(g.now("SysReadDirectory", directory, g.allocate(512), 512)).toBe(-Errno.ESTALE);
    for (const one of [file, directory]) expect(g.now("SysCloseFile", one)).toBe(0);
    expect(typeof g.stat("/sub")).toBe("object");
  });

  test("over and over is brought up once a second, and nothing piles up", async () => {
    const breaks = ({ opcode }: { opcode: number }) =>
      opcode === FuseOpcode.OPEN ? { used: 1 << 20 } : undefined;
    const device = writableFs(breaks);
    const g = await boot({ device });
    const blocks: number[] = [];
    for (let i = 0; i < 12; i++) {
      expect(g.now("SysOpenFile", "/file", 0)).toBe(-Errno.EIO);
      expect(g.now("SysOpenFile", "/file", 0)).toBe(-Errno.EIO);
      g.advance(LATER);
      blocks.push(Number(g.machine.call("heapBlocks")));
    }
    expect(device.resets).toBe(12);
    expect(new Set(blocks.slice(2)).size).toBe(1);
  });

  test("in its answer to INIT is not believed, and tried again", async () => {
    let inits = 0;
    const device = writableFs(({ opcode }) => {
      if (opcode === FuseOpcode.READ) return { used: 1 << 20 };
      return opcode === FuseOpcode.INIT && ++inits === 2 ? { error: -Errno.EIO } : undefined;
    });
    const g = await boot({ device });
    g.read(g.now("SysOpenFile", "/file", 0));
    g.advance(LATER);
    expect(g.stat("/file")).toBe(-Errno.EIO);
    g.advance(LATER);
    expect(typeof g.stat("/file")).toBe("object");
  });
});

describe("a device that has gone", () => {
  test("is found out when it stays silent, and comes back with what is on the host", async () => {
    const g = await boot({ directory: root });
    expect(g.stat("/dir/inside")).toMatchObject({ size: 6n });
    takeOut(g);
    const gone = g.start("SysStatFile", "/dir", g.allocate(128));
    g.advance(2 * SECOND); // nothing cached is valid any more
    const asked = g.start("SysStatFile", "/dir/inside", g.allocate(128));
    g.advance(5 * SECOND);
    expect([gone.result, asked.result]).toEqual([0n, BigInt(-Errno.EIO)]);
    g.advance(LATER);
    expect(g.stat("/dir/inside")).toMatchObject({ size: 6n });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.write(file, "CON")).toBe(3);
    expect(fs.readFileSync(join(root, "file"), "utf8")).toBe("CONtent");
  });

  test("that needs a reset gets one at once", async () => {
    let once = true;
    const device = writableFs(({ opcode }) => {
      if (opcode !== FuseOpcode.STATFS || !once) return undefined;
      once = false;
      throw new GuestError("cannot go on");
    });
    const g = await boot({ device });
    const asked = g.start("SysStatFileSystem", "/", g.allocate(64));
    expect(asked.result).toBe(BigInt(-Errno.EIO));
    g.advance(LATER);
    expect(g.now("SysStatFileSystem", "/", g.allocate(64))).toBe(0);
  });

  test("leaves mappings to those who have them, and maps anew for others", async () => {
    const g = await boot({ directory: root, windowBytes: 4 * 65536 });
    const file = g.now("SysOpenFile", "/file", 0);
    const before = g.now("SysMapFile", file, 0, 7, 0);
    takeOut(g);
    g.advance(2 * SECOND);
    g.start("SysStatFile", "/dir", g.allocate(128));
    g.advance(6 * SECOND);
    fs.writeFileSync(join(root, "file"), "another");
    const again = g.now("SysOpenFile", "/file", 0);
    const now = g.now("SysMapFile", again, 0, 7, 0);
    const text = (at: number) => Buffer.from(g.bytes(at, 7)).toString();
    expect([text(before), text(now)]).toEqual(["content", "another"]);
    expect([g.now("SysUnmapFile", before), g.now("SysUnmapFile", now)]).toEqual([0, 0]);
  });
});
