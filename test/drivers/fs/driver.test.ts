// The guest's virtio-fs driver and file system against a device that keeps the rules, and one that
// lies.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode, FuseReadIn, FuseType } from "../../../abi/fuse.ts";
import { HANDLE, run, when } from "../../support/fs-run.ts";
import {
  type Answer,
  attributes,
  dirent,
  entry,
  FILE,
  init,
  type Request,
  type ScriptedFs,
} from "../../support/fs-script.ts";

describe("a device that keeps the rules", () => {
  test("a file is looked up, opened, read, listed and closed; each request is as long as it says (fault 35)", async () => {
    const { results, device, text } = await run("msortrcdllcL");
    expect(results).toEqual([0, 0, HANDLE, 8, 0, 0, 0, HANDLE, 24, 0, 0, 0]);
    expect(text(8)).not.toBe("");
    for (const request of device.requests) {
      expect(request.length).toBe(request.readableBytes);
      expect(request.identity).toEqual([0, 0, 0, 0]);
    }
  });

  test("requests go to queue 1 and each has a number of its own (fault 34)", async () => {
    const { device } = await run("msorrccdlc");
    expect(device.requests.every(({ queue }) => queue === 1)).toBe(true);
    const numbers = device.requests.map(({ unique }) => unique);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test("READ asks for 1 MiB at most and has room for just what it asks (fault 29)", async () => {
    const pages = {
      script: ({ opcode }: Request) =>
        opcode === FuseOpcode.INIT
          ? { payload: init({ maxPages: 1 }) }
          : opcode === FuseOpcode.READ
            ? { payload: Buffer.alloc(4096, 1) }
            : undefined,
    };
    const { results, device } = await run("mor", pages);
    expect(results).toEqual([0, HANDLE, 8192]);
    const reads = device.requests.filter(({ opcode }) => opcode === FuseOpcode.READ);
    expect(reads.map((r) => r.arguments.readUInt32LE(FuseReadIn.size))).toEqual([4096, 4096]);
    expect(reads.map((r) => Number(r.arguments.readBigUInt64LE(FuseReadIn.offset)))).toEqual([
      0, 4096,
    ]);
    expect(reads.map((r) => r.writableBytes)).toEqual([4112, 4112]);
  });

  test("D14: max_write and max_pages of 0 mean a page", async () => {
    const script = when(FuseOpcode.INIT, { payload: init({ maxWrite: 0, maxPages: 0 }) });
    expect((await run("mor", script)).results).toEqual([0, HANDLE, 8]);
  });

  test("RELEASE comes after the last READ, and a failed OPEN is not released (fault 37)", async () => {
    const { device } = await run("morc");
    expect(device.opcodes().slice(-3)).toEqual([
      FuseOpcode.OPEN,
      FuseOpcode.READ,
      FuseOpcode.RELEASE,
    ]);
    const failed = await run("mo", when(FuseOpcode.OPEN, { error: -Errno.EMFILE }));
    expect(failed.results).toEqual([0, -Errno.EMFILE]);
    expect(failed.device.opcodes()).not.toContain(FuseOpcode.RELEASE);
  });

  test("U17 a negative entry is valid for its time-out, an ENOENT not at all", async () => {
    const negative = await run("mssswwwwwwwwwws", when(FuseOpcode.LOOKUP, { payload: entry(0) }));
    expect(negative.results).toEqual([
      0,
      ...Array(3).fill(-Errno.ENOENT),
      ...Array(10).fill(0),
      -Errno.ENOENT,
    ]);
    const lookups = (device: ScriptedFs) =>
      device.opcodes().filter((opcode) => opcode === FuseOpcode.LOOKUP).length;
    expect(lookups(negative.device)).toBe(2);
    const plain = await run("msss", when(FuseOpcode.LOOKUP, { error: -Errno.ENOENT }));
    expect(lookups(plain.device)).toBe(3);
  });
});

describe("D14: configuration", () => {
  test("a tag of 36 bytes has no NUL and is found", async () => {
    expect((await run("ms", { tag: "t".repeat(36) })).results).toEqual([0, 0]);
  });
  test("no request queue: the device is given up, the mount finds none", async () => {
    expect((await run("m", { requestQueues: 0 })).results).toEqual([-Errno.ENODEV]);
  });
  test("four thousand million request queues: the first one does", async () => {
    expect((await run("ms", { requestQueues: 0xffffffff })).results).toEqual([0, 0]);
  });
});

describe("D16: queues", () => {
  test.each([
    ["no high-priority queue", [0, 64]],
    ["no request queue", [64, 0]],
    ["only the high-priority queue", [64]],
    ["queues of one entry", [1, 1]],
    ["a request queue of 3 entries, of which 2 can be used", [4, 3]],
  ])("%s: the device is given up", async (_, queueSizesMax) => {
    expect((await run("m", { queueSizesMax })).results).toEqual([-Errno.ENODEV]);
  });
  test.each([
    ["queues of 1 and of 4 entries", [1, 4]],
    ["queues of no power of two", [3, 6]],
    ["queues of 32768 entries", [32768, 32768]],
  ])("%s works", async (_, queueSizesMax) => {
    expect((await run("msorcdlc", { queueSizesMax })).results.every((r) => r >= 0)).toBe(true);
  });
});

describe("D15: replies that cannot be true are -EIO, and the device goes on", () => {
  const lies: [string, number, string, Answer][] = [
    ["unique of another request", FuseOpcode.LOOKUP, "s", { unique: 1n }],
    ["unique with a wrong upper half", FuseOpcode.LOOKUP, "s", { unique: 1n << 63n }],
    ["a header of 8 bytes", FuseOpcode.LOOKUP, "s", { used: 8 }],
    ["an empty chain", FuseOpcode.LOOKUP, "s", { used: 0 }],
    ["a length beyond the used bytes", FuseOpcode.LOOKUP, "s", { length: 145 }],
    ["a length below the used bytes", FuseOpcode.LOOKUP, "s", { length: 143 }],
    ["a length of 16 with a payload", FuseOpcode.LOOKUP, "s", { length: 16 }],
    ["a positive error", FuseOpcode.LOOKUP, "s", { error: 2 }],
    ["an error below -4095", FuseOpcode.LOOKUP, "s", { error: -4096 }],
    ["the lowest error", FuseOpcode.LOOKUP, "s", { error: -2147483648 }],
    [
      "a payload with an error",
      FuseOpcode.LOOKUP,
      "s",
      { error: -2, payload: entry(FILE), length: 144 },
    ],
    ["a short entry", FuseOpcode.LOOKUP, "s", { payload: entry(FILE).subarray(0, 120) }],
    ["no entry", FuseOpcode.LOOKUP, "s", { payload: new Uint8Array(0) }],
    ["node 0 without a time-out", FuseOpcode.LOOKUP, "s", { payload: entry(0, { validS: 0 }) }],
    ["node 1 under a name", FuseOpcode.LOOKUP, "s", { payload: entry(1, { type: FuseType.DIR }) }],
    ["a file of no type", FuseOpcode.LOOKUP, "s", { payload: entry(FILE, { type: 0 }) }],
    ["a file of an unknown type", FuseOpcode.LOOKUP, "s", { payload: entry(FILE, { type: 3 }) }],
    ["a size of 2^63", FuseOpcode.LOOKUP, "s", { payload: entry(FILE, { size: 1n << 63n }) }],
    ["a short OPEN", FuseOpcode.OPEN, "o", { payload: new Uint8Array(8) }],
    ["an OPEN without a handle", FuseOpcode.OPEN, "o", { payload: new Uint8Array(0) }],
    ["a link without a text", FuseOpcode.READLINK, "L", { payload: new Uint8Array(0) }],
    ["a link with a NUL", FuseOpcode.READLINK, "L", { payload: Buffer.from("fi\0le") }],
    ["an entry without a name", FuseOpcode.READDIR, "dl", { payload: dirent("", 1) }],
    ["a name of 256 bytes", FuseOpcode.READDIR, "dl", { payload: dirent("x".repeat(256), 1) }],
    ["a name across the end", FuseOpcode.READDIR, "dl", { payload: dirent("abc", 1, 90) }],
    ["a name of 4 GiB", FuseOpcode.READDIR, "dl", { payload: dirent("abc", 1, 0xfffffff0) }],
    ["a name with a slash", FuseOpcode.READDIR, "dl", { payload: dirent("a/b", 1) }],
    ["a name with a NUL", FuseOpcode.READDIR, "dl", { payload: dirent("a\0b", 1) }],
    ["half an entry", FuseOpcode.READDIR, "dl", { payload: dirent("abc", 1).subarray(0, 20) }],
    [
      "entries without their padding",
      FuseOpcode.READDIR,
      "dl",
      { payload: dirent("abc", 1).subarray(0, 27) },
    ],
    ["a cookie that stands still", FuseOpcode.READDIR, "dl", { payload: dirent("abc", 0) }],
  ];
  test.each(lies)("%s", async (_, opcode, ops, answer) => {
    let lied = false;
    const script = (request: Request) => {
      if (request.opcode !== opcode || lied) return undefined;
      lied = true;
      return answer;
    };
    const { results, device } = await run(`m${ops}s`, { script });
    expect(lied).toBe(true);
    expect(results.at(-2)).toBe(-Errno.EIO);
    expect(results.at(-1)).toBe(0);
    expect(device.resets).toBe(0);
  });

  test("a node under a second name with another type", async () => {
    const script = ({ opcode, arguments: args }: Request) =>
      opcode === FuseOpcode.LOOKUP && args.toString("latin1") === "sub\0"
        ? { payload: entry(FILE, { type: FuseType.DIR }) }
        : undefined;
    expect((await run("msSs", { script })).results).toEqual([0, 0, -Errno.EIO, 0]);
  });

  test("a node that changes its type, looked up again and asked for", async () => {
    const later = (opcode: number, payload: Uint8Array) => {
      let seen = 0;
      return {
        script: (r: Request) =>
          r.opcode === opcode && r.nodeid !== (opcode === FuseOpcode.GETATTR ? 1 : 0) && seen++ > 0
            ? { payload }
            : undefined,
      };
    };
    const again = later(FuseOpcode.LOOKUP, entry(FILE, { type: FuseType.DIR }));
    expect((await run("mswwwwwwwwwws", again)).results.at(-1)).toBe(-Errno.EIO);
    const asked = later(FuseOpcode.GETATTR, attributes(FILE, FuseType.DIR));
    expect((await run("mowwwwwwwwwwtwwwwwwwwwwt", asked)).results.filter((r) => r < 0)).toEqual([
      -Errno.EIO,
    ]);
  });

  test("a root that is no directory cannot be mounted", async () => {
    const script = when(FuseOpcode.GETATTR, { payload: attributes(1, FuseType.REG) });
    expect((await run("m", script)).results).toEqual([-Errno.ENOTDIR]);
  });

  test.each([
    ["major version 8", { payload: init({ major: 8 }) }, Errno.EPROTO],
    ["major version 6", { payload: init({ major: 6 }) }, Errno.EPROTO],
    ["minor version 26", { payload: init({ minor: 26 }) }, Errno.EPROTO],
    ["the short reply of old versions", { payload: init().subarray(0, 24) }, Errno.EIO],
    ["an error", { error: -Errno.EPROTO }, Errno.EPROTO],
  ])("U1 INIT: %s", async (_, answer, error) => {
    const { results } = await run("mms", when(FuseOpcode.INIT, answer));
    expect(results).toEqual([-error, -error, -Errno.ENOENT]);
  });
});

describe("errors of the host arrive as they are (fault 28)", () => {
  test.each([
    ["LOOKUP", FuseOpcode.LOOKUP, "s"],
    ["OPEN", FuseOpcode.OPEN, "o"],
    ["OPENDIR", FuseOpcode.OPENDIR, "d"],
    ["READ", FuseOpcode.READ, "or"],
    ["READDIR", FuseOpcode.READDIR, "dl"],
    ["READLINK", FuseOpcode.READLINK, "L"],
  ])("%s", async (_, opcode, ops) => {
    const { results } = await run(`m${ops}`, when(opcode, { error: -13 }));
    expect(results.at(-1)).toBe(-13);
  });

  test("a READ that fails after another one is a short read", async () => {
    const script = ({ opcode, arguments: args }: Request) => {
      if (opcode === FuseOpcode.INIT) return { payload: init({ maxPages: 1 }) };
      if (opcode !== FuseOpcode.READ) return undefined;
      const first = args.readBigUInt64LE(FuseReadIn.offset) === 0n;
      return first ? { payload: Buffer.alloc(4096) } : { error: -5 };
    };
    expect((await run("morr", { script })).results).toEqual([0, HANDLE, 4096, -5]);
  });
});
