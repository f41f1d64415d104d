// Small reads in order: one large read answers many of them, and none answers with bytes that the
// guest should know to be old.
import * as nodefs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_RDWR, FuseOpcode } from "../../../abi/fuse.ts";
import { FsDevice } from "../../../host/node/devices.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { type FileGuest, fileGuests } from "../../support/file-guest.ts";
import { entry, FILE } from "../../support/fs-script.ts";
import { writableFs } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const BLOCK = 4096;
const BLOCKS = 64;
/** The validity of attributes. */
const VALID_MS = 1000;

let directory: string;
let content: Buffer;
beforeEach(() => {
  directory = makeFolder();
  content = Buffer.from(
    Uint32Array.from({ length: (BLOCK * BLOCKS) / 4 }, (_, i) => Math.imul(i, 2654435761)).buffer,
  );
  nodefs.writeFileSync(`${directory}/data`, content);
});
afterEach(removeFolders);

async function start(options = {}) {
  const device = new FsDevice({ directory, tag: "site", readOnly: false });
  const guest = await boot({ device, memoryBytes: 64 << 20, ...options });
  return { device, guest, file: guest.now("SysOpenFile", "/data", FUSE_O_RDWR) };
}

function readAt(guest: FileGuest, file: number, offset: number, length = BLOCK): Buffer | number {
  const buffer = guest.allocate(length);
  const got = guest.now("SysReadFileAt", file, buffer, length, offset);
  const bytes = Buffer.from(guest.bytes(buffer, Math.max(got, 0)));
  guest.free(buffer);
  return got < 0 ? got : bytes;
}

/** Four blocks in order, after which the next ones are in the buffer. */
function begin(guest: FileGuest, file: number): void {
  for (let i = 0; i < 4; i++) {
    expect(readAt(guest, file, i * BLOCK)).toEqual(content.subarray(i * BLOCK, (i + 1) * BLOCK));
  }
}

const next = (guest: FileGuest, file: number) => readAt(guest, file, 4 * BLOCK, 16);
const old = () => content.subarray(4 * BLOCK, 4 * BLOCK + 16);
const heap = (guest: FileGuest) => Number(guest.machine.call("heapBlocks"));

describe("a file that is read in order", () => {
  test("takes a request for many blocks, by offset and by its position", async () => {
    const { device, guest, file } = await start();
    let before = device.stats.requests;
    for (let i = 0; i < BLOCKS; i++) {
      expect(readAt(guest, file, i * BLOCK)).toEqual(content.subarray(i * BLOCK, (i + 1) * BLOCK));
    }
    expect(device.stats.requests - before).toBeLessThan(8);
    before = device.stats.requests;
    let text = "";
    for (let part = guest.read(file, 1000); part !== ""; part = guest.read(file, 1000))
      text += part;
    expect(text).toBe(content.toString("latin1"));
    expect(device.stats.requests - before).toBeLessThan(8);
  });

  test("gives no bytes after its end, and those that are appended to it", async () => {
    const { guest, file } = await start();
    const end = content.length;
    for (let at = end - 6 * 1000; at < end; at += 1000) readAt(guest, file, at, 1000);
    expect(readAt(guest, file, end - 100, 1000)).toEqual(content.subarray(-100));
    expect(readAt(guest, file, end, 1000)).toHaveLength(0);
    nodefs.appendFileSync(`${directory}/data`, "more");
    expect(readAt(guest, file, end, 1000)).toEqual(Buffer.from("more"));
  });

  test("shows a change of the host as late as its attributes do", async () => {
    const { guest, file } = await start();
    begin(guest, file);
    const size = content.length;
    nodefs.writeFileSync(`${directory}/data`, Buffer.alloc(size, "n"));
    expect(next(guest, file)).toEqual(old());
    guest.advance(VALID_MS);
    expect(next(guest, file)).toEqual(Buffer.alloc(16, "n"));
  });

  test.each<[string, (guest: FileGuest, file: number) => void]>([
    ["a write through the same handle", (g, file) => void g.write(file, Buffer.alloc(32768, "n"))],
    [
      "a write through another handle",
      (g) => void g.write(g.now("SysOpenFile", "/data", FUSE_O_RDWR), Buffer.alloc(32768, "n")),
    ],
    [
      "a write through another name",
      (g) => {
        g.now("SysLink", "/data", "/link");
        g.write(g.now("SysOpenFile", "/link", FUSE_O_RDWR), Buffer.alloc(32768, "n"));
      },
    ],
  ])("shows %s at once", async (_, change) => {
    const { guest, file } = await start();
    begin(guest, file);
    guest.now("SysSeekFile", file, 0, 0);
    change(guest, file);
    expect(next(guest, file)).toEqual(Buffer.alloc(16, "n"));
  });

  test("ends where the guest has cut it off", async () => {
    const { guest, file } = await start();
    begin(guest, file);
    expect(guest.now("SysTruncateOpenFile", file, 4 * BLOCK + 3)).toBe(0);
    expect(next(guest, file)).toEqual(content.subarray(4 * BLOCK, 4 * BLOCK + 3));
  });

  test("returns its memory when it is closed", async () => {
    const { guest, file } = await start();
    readAt(guest, file, 0);
    const before = heap(guest);
    begin(guest, file);
    expect(heap(guest)).toBe(before + 1);
    expect(guest.now("SysCloseFile", file)).toBe(0);
    expect(heap(guest)).toBeLessThan(before);
  });
});

test("random reads take no buffer, and neither do large ones", async () => {
  const { device, guest, file } = await start();
  const before = heap(guest);
  for (let i = 0; i < 20; i++) readAt(guest, file, ((i * 7) % BLOCKS) * BLOCK);
  for (let i = 0; i < 3; i++) readAt(guest, file, i * 65536, 65536);
  expect(device.stats.bytesRead).toBe(20 * BLOCK + 3 * 65536);
  expect(heap(guest)).toBe(before);
});

test("a file that is written while it is read in order is not read ahead again and again", async () => {
  const { device, guest, file } = await start();
  const other = guest.now("SysOpenFile", "/data", FUSE_O_RDWR);
  for (let i = 0; i < 40; i++) {
    const bytes = readAt(guest, file, i * 1000, 1000);
    expect(bytes).toEqual(content.subarray(i * 1000, (i + 1) * 1000));
    expect(guest.now("SysWriteFileAt", other, content.subarray(0, 4), 0)).toBe(4);
  }
  expect(device.stats.bytesRead).toBeLessThan(40_000 + 2 * 131_072);
});

test("a heap that is too small for buffers has none", async () => {
  const { device, guest, file } = await start({ memoryBytes: 3 << 20 });
  for (let i = 0; i < 8; i++) readAt(guest, file, i * BLOCK);
  expect(device.stats.bytesRead).toBe(8 * BLOCK);
});

test("of many files the last eight are read ahead, and each gets its own bytes", async () => {
  const { guest } = await start();
  const files = Array.from({ length: 12 }, (_, i) => {
    nodefs.writeFileSync(`${directory}/f${i}`, Buffer.alloc(content.length, 65 + i));
    return guest.now("SysOpenFile", `/f${i}`, 0);
  });
  const before = heap(guest);
  for (let at = 0; at < 8 * BLOCK; at += BLOCK) {
    for (const [i, file] of files.entries()) {
      expect(readAt(guest, file, at)).toEqual(Buffer.alloc(BLOCK, 65 + i));
    }
  }
  expect(heap(guest)).toBe(before + 8);
  for (const file of files) guest.now("SysCloseFile", file);
});

test("one thread fills the buffer, others read past it, and a handle may be closed meanwhile", async () => {
  const large = Buffer.alloc(1 << 17, "x");
  const device = writableFs((request) => {
    if (request.opcode === FuseOpcode.LOOKUP) {
      return { payload: entry(FILE, { size: 1n << 17n }) };
    }
    if (request.opcode !== FuseOpcode.READ) return undefined;
    const bytes = request.arguments.readUInt32LE(16);
    return { payload: large.subarray(0, bytes), ...(bytes > BLOCK && { afterMs: 10 }) };
  });
  const guest = await boot({ device, memoryBytes: 64 << 20 });
  const file = guest.now("SysOpenFile", "/file", 0);
  const buffer = guest.allocate(BLOCK);
  const block = (i: number) => guest.start("SysReadFileAt", file, buffer, 16, i * 16);
  expect(block(0).result).toBe(16n);
  const filling = block(1);
  const beside = guest.start("SysReadFileAt", file, buffer, 16, 100);
  expect([filling.result, beside.result]).toEqual([undefined, 16n]);
  expect(guest.now("SysCloseFile", file)).toBe(0);
  while (filling.result === undefined) guest.advance(10);
  expect(filling.result).toBe(16n);
  expect(guest.now("SysReadFileAt", file, buffer, 16, 32)).toBe(-Errno.EBADF);
});
