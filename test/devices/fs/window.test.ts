// virtio-fs device with a window: what SETUPMAPPING and REMOVEMAPPING do, when what the guest has
// stored reaches the file, and what a guest that breaks the rules gets.
import * as nodefs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseInitFlag, FuseInitOut, FuseOpcode } from "../../../abi/fuse.ts";
import { FuseSetattrValid, FuseWriteIn } from "../../../abi/fuse-write.ts";
import {
  forget,
  getattr,
  lookup,
  open,
  opendir,
  ROOT,
  read,
  release,
} from "../../support/fs-calls.ts";
import { copyFileRange, create, fsync, setattr, write } from "../../support/fs-change-calls.ts";
import { FsPuppet, WINDOW_AT } from "../../support/fs-puppet.ts";
import { refusingFiles } from "../../support/fs-refusing-files.ts";

const SLOT = 65536;
const SLOTS = 8;
const WINDOW = SLOTS * SLOT;
const [WRITE, READ] = [1n, 2n];
const NOBODY = 0xffffffffffffffffn;
const [O_WRONLY, O_RDWR, O_TRUNC] = [1, 2, 0x200];
const SIZE = 3 * SLOT + 100;

let directory: string;
let fs: FsPuppet;
/** The code of the error with which the host refuses to write. */
let refusal = "";
const path = (name: string) => join(directory, name);
const content = (name: string) => nodefs.readFileSync(path(name));
const noise = (bytes: number, seed: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => i * seed + (i >> 8)));

beforeEach(() => {
  directory = nodefs.mkdtempSync(join(tmpdir(), "torito-fs-"));
  nodefs.writeFileSync(path("a"), noise(SIZE, 7));
  nodefs.writeFileSync(path("b"), noise(SIZE, 11));
  nodefs.mkdirSync(path("sub"));
  nodefs.symlinkSync("a", path("link"));
  refusal = "";
  const files = refusingFiles(() => refusal);
  fs = new FsPuppet(directory, { readOnly: false, windowBytes: WINDOW, files });
  fs.init();
});

afterEach(() => {
  fs.device.dispose();
  nodefs.rmSync(directory, { recursive: true });
});

interface Mapping {
  fh?: number | bigint;
  offset?: number | bigint;
  bytes?: number | bigint;
  flags?: bigint;
  at?: number | bigint;
}

/** SETUPMAPPING; what is not given is a good choice. */
function map(nodeid: number, mapping: Mapping = {}, puppet = fs): number {
  const { fh = NOBODY, offset = 0, bytes = SLOT, flags = READ, at = 0 } = mapping;
  const args = BigUint64Array.from([fh, offset, bytes, flags, at].map(BigInt));
  return puppet.request(FuseOpcode.SETUPMAPPING, new Uint8Array(args.buffer), { nodeid }).error;
}

/** REMOVEMAPPING of [at, bytes] each; `count` is what the request says of their number. */
function unmap(ranges: [number | bigint, number | bigint][], count = ranges.length): number {
  const args = Buffer.alloc(4 + ranges.length * 16);
  args.writeUInt32LE(count, 0);
  ranges.forEach(([at, bytes], i) => {
    args.writeBigUInt64LE(BigInt(at), 4 + i * 16);
    args.writeBigUInt64LE(BigInt(bytes), 12 + i * 16);
  });
  return fs.request(FuseOpcode.REMOVEMAPPING, new Uint8Array(args)).error;
}

const window = (at = 0, bytes = SLOT) =>
  Buffer.from(fs.memory.bytes(WINDOW_AT + at, bytes).buffer, WINDOW_AT + at, bytes);
const node = (name: string) => lookup(fs, ROOT, name).nodeid;
/** The file's bytes and zeros past its end, as a mapping shows them. */
const part = (name: string, offset: number, bytes = SLOT) => {
  const all = Buffer.alloc(bytes);
  content(name).copy(all, 0, offset);
  return all;
};
/** Compares without printing 64 KiB of difference. */
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

describe("mapping", () => {
  test("F11: the window is region 0, and INIT reports its alignment on request", () => {
    expect(fs.device.sharedMemory).toEqual([WINDOW]);
    const told = (flags: number, puppet = fs) => {
      const { view } = puppet.init(7, 38, flags);
      const got = (view.getUint32(FuseInitOut.flags, true) >> FuseInitFlag.MAP_ALIGNMENT) & 1;
      return [got, view.getUint16(FuseInitOut.map_alignment, true)];
    };
    expect(told(0xffffffff)).toEqual([1, 16]);
    expect(told(0)).toEqual([0, 0]);
    const without = new FsPuppet(directory);
    expect(without.device.sharedMemory).toEqual([]);
    expect(told(0xffffffff, without)).toEqual([0, 0]);
    without.device.dispose();
  });

  test("U23: maps a part of a file, with zeros past its end, and nothing beside it", () => {
    window(0, WINDOW).fill(0xee);
    expect(map(node("a"), { offset: 2 * SLOT, bytes: 2 * SLOT, at: SLOT })).toBe(0);
    expect(same(window(SLOT, 2 * SLOT), part("a", 2 * SLOT, 2 * SLOT))).toBe(true);
    expect(window(SLOT + SLOT + 100, SLOT - 100).every((byte) => byte === 0)).toBe(true);
    expect(window(0).every((byte) => byte === 0xee)).toBe(true);
    expect(window(3 * SLOT).every((byte) => byte === 0xee)).toBe(true);
    expect(map(node("a"), { offset: 2 ** 40 })).toBe(0); // far past the end
    expect(window(0).every((byte) => byte === 0)).toBe(true);
  });

  test("U23: refuses unknown flags, unaligned parts, and parts outside the window", () => {
    const nodeid = node("a");
    const bad: Mapping[] = [
      { flags: 0n },
      { flags: 4n },
      { flags: READ | (1n << 63n) },
      { bytes: 0 },
      { bytes: SLOT - 1 },
      { bytes: 4096 },
      { offset: 4096 },
      { at: 4096 },
      { at: WINDOW },
    ];
    for (const mapping of bad) expect(map(nodeid, mapping)).toBe(-Errno.EINVAL);
    expect(map(nodeid, { offset: 2n ** 63n })).toBe(-Errno.EOVERFLOW);
  });

  test("U23: answers ENOSYS to both requests without a window", () => {
    fs.device.dispose();
    fs = new FsPuppet(directory);
    fs.init();
    expect(map(node("a"))).toBe(-Errno.ENOSYS);
    expect(unmap([[0, SLOT]])).toBe(-Errno.ENOSYS);
  });

  test("F12: READ and WRITE work beside a mapping, which shows their effect", () => {
    const nodeid = node("a");
    const fh = open(fs, nodeid, O_RDWR);
    expect(map(nodeid, { fh })).toBe(0);
    expect(write(fs, nodeid, fh, 5, "WRITTEN")).toBe(7);
    expect(window(5, 7).toString()).toBe("WRITTEN");
    expect(Buffer.from(read(fs, nodeid, fh, 4, 9).data)).toEqual(window(4, 9));
  });

  test("F13: mapping the same place again replaces, and mapping a part splits", () => {
    const [a, b] = [node("a"), node("b")];
    const fh = open(fs, a, O_RDWR);
    expect(map(a, { fh, bytes: 3 * SLOT, flags: READ | WRITE })).toBe(0);
    window(0, 3).write("one");
    window(SLOT, 3).write("two");
    window(2 * SLOT, 3).write("six");
    expect(map(b, { at: SLOT, offset: SLOT })).toBe(0);
    expect(same(window(SLOT), part("b", SLOT))).toBe(true);
    expect(content("a").toString("latin1", SLOT, SLOT + 3)).toBe("two"); // written back first
    window(SLOT, 3).write("nil"); // into a mapping that nobody may write
    expect(release(fs, a, fh)).toBe(0);
    expect(content("a").toString("latin1", 0, 3)).toBe("one");
    expect(content("a").toString("latin1", 2 * SLOT, 2 * SLOT + 3)).toBe("six");
    expect(content("b").indexOf("nil")).toBe(-1);
    expect(map(b, { bytes: 3 * SLOT })).toBe(0);
    expect(same(window(0, 3 * SLOT), part("b", 0, 3 * SLOT))).toBe(true);
  });

  test("F14: maps nothing past the end of the window, whatever wraps around", () => {
    const nodeid = node("a");
    window(0, WINDOW).fill(0xee);
    for (const [at, bytes] of [
      [WINDOW - SLOT, 2 * SLOT],
      [WINDOW, SLOT],
      [2n ** 64n - 65536n, 2 * SLOT],
      [SLOT, 2n ** 64n - 65536n],
      [2n ** 63n, 2n ** 63n],
    ] as const) {
      expect(map(nodeid, { at, bytes })).toBe(-Errno.EINVAL);
    }
    expect(window(0, WINDOW).every((byte) => byte === 0xee)).toBe(true);
  });

  test("F15: fails when descriptors run out, and works again once a mapping has gone", () => {
    const [a, b] = [node("a"), node("b")];
    expect(map(a, { flags: READ | WRITE })).toBe(0);
    refusal = "EMFILE";
    expect(map(b, { flags: READ | WRITE, at: SLOT })).toBe(-Errno.EMFILE);
    expect(unmap([[0, SLOT]])).toBe(0);
    refusal = "";
    expect(map(b, { flags: READ | WRITE, at: SLOT })).toBe(0);
  });

  test("maps only a regular file, by a handle of its own with the access it needs", () => {
    const nodeid = node("a");
    expect(map(ROOT)).toBe(-Errno.EISDIR);
    expect(map(node("link"))).toBe(-Errno.EACCES);
    expect(map(nodeid, { fh: 4711 })).toBe(-Errno.EBADF);
    expect(map(nodeid, { fh: open(fs, node("b")) })).toBe(-Errno.EBADF);
    expect(map(nodeid, { fh: opendir(fs, ROOT) })).toBe(-Errno.EBADF);
    expect(map(nodeid, { fh: open(fs, nodeid, O_WRONLY) })).toBe(-Errno.EACCES);
    const reader = open(fs, nodeid);
    expect(map(nodeid, { fh: reader, flags: READ | WRITE })).toBe(-Errno.EACCES);
    expect(map(nodeid, { fh: reader })).toBe(0);
    fs.device.dispose();
    fs = new FsPuppet(directory, { windowBytes: WINDOW });
    fs.init();
    expect(map(node("a"), { flags: READ | WRITE })).toBe(-Errno.EROFS);
    expect(map(node("a"), { flags: READ })).toBe(0);
  });

  test("keeps a mapping after its handle and the guest's last reference have gone", () => {
    const nodeid = node("a");
    const fh = open(fs, nodeid, O_RDWR);
    expect(map(nodeid, { fh, flags: READ | WRITE })).toBe(0);
    expect(release(fs, nodeid, fh)).toBe(0);
    forget(fs, nodeid, 1);
    window(0, 4).write("late");
    expect(map(nodeid, { flags: READ | WRITE })).toBe(0); // in its own place
    expect(content("a").toString("latin1", 0, 4)).toBe("late");
    expect(unmap([[0, SLOT]])).toBe(0);
    expect(map(nodeid)).toBe(-Errno.EBADF);
    expect(map(node("a"))).toBe(0);
  });
});

describe("bytes that the guest has stored", () => {
  let nodeid: number;
  let fh: number;
  beforeEach(() => {
    nodeid = node("a");
    fh = open(fs, nodeid, O_RDWR);
    expect(map(nodeid, { fh, flags: READ | WRITE, bytes: 4 * SLOT })).toBe(0);
    window(SLOT + 4094, 4).write("XXYY"); // over two pages
  });
  const stored = () => content("a").toString("latin1", SLOT + 4094, SLOT + 4098);

  test("F18: are on the host when FSYNC is answered, not before", async () => {
    expect(stored()).not.toBe("XXYY");
    expect((await fsync(fs, nodeid, fh, 0)).error).toBe(0);
    expect(stored()).toBe("XXYY");
  });

  test("F18: are lost when the device is reset, and with the machine", () => {
    fs.device.reset();
    expect(stored()).not.toBe("XXYY");
    const other = new FsPuppet(directory, { readOnly: false, windowBytes: WINDOW });
    other.init();
    expect(map(lookup(other, ROOT, "a").nodeid, { flags: READ | WRITE }, other)).toBe(0);
    other.memory.bytes(WINDOW_AT, SLOT).fill(1);
    other.device.dispose();
    expect(content("a")[0]).not.toBe(1);
  });

  test.each<[string, () => unknown]>([
    ["FLUSH", () => fs.request(FuseOpcode.FLUSH, handleArguments(24), { nodeid }).error],
    ["RELEASE", () => release(fs, nodeid, fh)],
    ["REMOVEMAPPING", () => unmap([[SLOT, SLOT]])],
    ["REMOVEMAPPING of everything", () => unmap([[0, 2n ** 64n - 1n]])],
    ["DESTROY", () => fs.request(FuseOpcode.DESTROY).error],
    ["another INIT", () => fs.init().error],
    ["GETATTR", () => getattr(fs, nodeid).error],
    ["another mapping of the file", () => map(nodeid, { at: 5 * SLOT })],
    ["a mapping of another file in its place", () => map(node("b"), { at: SLOT })],
    ["COPY_FILE_RANGE", () => copyFileRange(fs, [nodeid, fh, 0], [nodeid, fh, 3 * SLOT], 1) - 1],
    ["WRITE elsewhere", () => write(fs, nodeid, fh, 0, "!") - 1],
  ])("%s writes it", (_, call) => {
    expect(call()).toBe(0);
    expect(stored()).toBe("XXYY");
  });
  const handleArguments = (bytes: number) => {
    const args = Buffer.alloc(bytes);
    args.writeBigUInt64LE(BigInt(fh), 0);
    return new Uint8Array(args);
  };

  test("are seen by READ through another handle", () => {
    const { data } = read(fs, nodeid, open(fs, nodeid), SLOT + 4094, 4);
    expect(Buffer.from(data).toString()).toBe("XXYY");
  });

  test("are shown by another mapping of the same part once written back", () => {
    expect(map(nodeid, { at: 6 * SLOT, offset: SLOT, flags: READ | WRITE })).toBe(0);
    window(SLOT, 3).write("new");
    expect(getattr(fs, nodeid).error).toBe(0);
    expect(window(6 * SLOT, 3).toString()).toBe("new");
    window(6 * SLOT, 3).write("two");
    expect(getattr(fs, nodeid).error).toBe(0);
    expect(window(SLOT, 3).toString()).toBe("two");
  });

  test("leave the host's writes in pages that they do not touch", () => {
    const descriptor = nodefs.openSync(path("a"), "r+");
    nodefs.writeSync(descriptor, "host", 8192);
    nodefs.closeSync(descriptor);
    expect(release(fs, nodeid, fh)).toBe(0);
    expect(stored()).toBe("XXYY");
    expect(content("a").toString("latin1", 8192, 8196)).toBe("host");
  });

  test("past the end of the file are dropped: a mapping makes no file longer", () => {
    window(3 * SLOT + 90, 20).fill("z");
    expect(release(fs, nodeid, fh)).toBe(0);
    expect(content("a").length).toBe(SIZE);
    expect(content("a").toString("latin1", SIZE - 10)).toBe("zzzzzzzzzz");
  });

  test("are reported and stay mapped when they cannot be written", () => {
    refusal = "ENOSPC";
    expect(unmap([[0, 4 * SLOT]])).toBe(-Errno.ENOSPC);
    const flush = fs.request(FuseOpcode.FLUSH, handleArguments(24), { nodeid });
    expect(flush.error).toBe(-Errno.ENOSPC);
    expect(map(node("b"), { at: SLOT })).toBe(-Errno.ENOSPC);
    refusal = "";
    expect(unmap([[0, 4 * SLOT]])).toBe(0);
    expect(stored()).toBe("XXYY");
  });
});

describe("stores that could be lost", () => {
  const at = (offset: number, bytes: number) =>
    content("a").toString("latin1", offset, offset + bytes);
  const writeLater = (puppet: FsPuppet, nodeid: number, fh: number, text: string) => {
    const head = new DataView(new ArrayBuffer(FuseWriteIn.sizeof));
    head.setBigUint64(FuseWriteIn.fh, BigInt(fh), true);
    head.setUint32(FuseWriteIn.size, text.length, true);
    const args = Buffer.concat([new Uint8Array(head.buffer), Buffer.from(text)]);
    return puppet.requestLater(FuseOpcode.WRITE, args, { nodeid });
  };

  test("reach the file from two mappings of one page, and both show them", () => {
    const nodeid = node("a");
    expect(map(nodeid, { flags: READ | WRITE })).toBe(0);
    expect(map(nodeid, { flags: READ | WRITE, at: 2 * SLOT, bytes: 2 * SLOT })).toBe(0);
    window(10, 3).write("one");
    window(2 * SLOT + 20, 3).write("two");
    window(3 * SLOT + 20, 3).write("six"); // of another part
    expect(getattr(fs, nodeid).error).toBe(0);
    expect([at(10, 3), at(20, 3), at(SLOT + 20, 3)]).toEqual(["one", "two", "six"]);
    expect(same(window(), part("a", 0))).toBe(true);
    expect(same(window(2 * SLOT, 2 * SLOT), part("a", 0, 2 * SLOT))).toBe(true);
  });

  test("stay beside the host's writes to the same page", () => {
    const nodeid = node("a");
    expect(map(nodeid, { flags: READ | WRITE })).toBe(0);
    nodefs.writeFileSync(join(directory, "a"), "host", { flag: "r+" });
    window(10, 5).write("guest");
    expect(unmap([[0, SLOT]])).toBe(0);
    expect([at(0, 4), at(10, 5)]).toEqual(["host", "guest"]);
  });

  test.each([
    ["before", 0],
    ["while", 1],
  ])("beside a WRITE that is left to the thread pool, mapped %s it goes on", async (_, late) => {
    const limits = { slowMs: -1 }; // no kick is quick enough
    fs.device.dispose();
    fs = new FsPuppet(directory, { readOnly: false, windowBytes: WINDOW, limits });
    fs.init();
    const nodeid = node("a");
    const fh = open(fs, nodeid, O_RDWR);
    const mapped = () => expect(map(nodeid, { flags: READ | WRITE })).toBe(0);
    if (!late) mapped();
    const written = writeLater(fs, nodeid, fh, "WRITE");
    if (late) mapped();
    window(8192, 5).write("store");
    window(100, 4).write("page");
    expect((await written).error).toBe(0);
    expect(window(8192, 5).toString()).toBe("store");
    expect(unmap([[0, SLOT]])).toBe(0);
    expect([at(0, 5), at(100, 4), at(8192, 5)]).toEqual(["WRITE", "page", "store"]);
  });
});

test.runIf(process.geteuid?.() === 0)(
  "U21: set-id bits that the host set after the mapping go when it is written back",
  () => {
    expect(map(node("a"), { flags: READ | WRITE })).toBe(0);
    nodefs.chmodSync(path("a"), 0o6755);
    window(0, 4).write("code");
    expect(unmap([[0, SLOT]])).toBe(0);
    expect(content("a").toString("latin1", 0, 4)).toBe("code");
    expect(nodefs.statSync(path("a")).mode & 0o7777).toBe(0o755);
  },
);

test("W15: counts files that are mapped for writing as open", () => {
  fs.device.dispose();
  const limits = { handlesMax: 3 };
  fs = new FsPuppet(directory, { readOnly: false, windowBytes: WINDOW, limits });
  fs.init();
  const [a, b] = [node("a"), node("b")];
  expect(map(a, { flags: READ | WRITE, bytes: 2 * SLOT })).toBe(0);
  expect(map(b, { flags: READ | WRITE, at: 2 * SLOT })).toBe(0);
  const fh = open(fs, a);
  expect(open(fs, b)).toBe(-Errno.EMFILE);
  expect(map(a, { flags: READ | WRITE, at: 3 * SLOT })).toBe(-Errno.EMFILE);
  expect(map(b, { at: 3 * SLOT })).toBe(0); // that one keeps nothing open
  expect(release(fs, a, fh)).toBe(0);
  expect(map(a, { flags: READ | WRITE, at: 4 * SLOT })).toBe(0);
  expect(unmap([[0, WINDOW]])).toBe(0);
  for (let i = 0; i < 3; i++) expect(open(fs, b)).toBeGreaterThan(0);
  expect(open(fs, b)).toBe(-Errno.EMFILE);
});

describe("W17: a guest that breaks the rules", () => {
  test("W17: refuses REMOVEMAPPING of none, of more than 256, of fewer than came, or of no slot", () => {
    const nodeid = node("a");
    expect(map(nodeid, { flags: READ | WRITE })).toBe(0);
    window(0, 4).write("kept");
    const one: [number, number] = [0, SLOT];
    expect(unmap([])).toBe(-Errno.EINVAL);
    expect(unmap([one], 0)).toBe(-Errno.EINVAL);
    expect(unmap([one], 2)).toBe(-Errno.EINVAL);
    expect(unmap([one, one], 1)).toBe(-Errno.EINVAL);
    expect(unmap([one], 0xffffffff)).toBe(-Errno.EINVAL);
    expect(unmap(Array(257).fill(one))).toBe(-Errno.EINVAL);
    for (const [at, bytes] of [
      [1, SLOT],
      [0, 0],
      [0, 100],
      [WINDOW, SLOT],
      [SLOT, 2n ** 64n - 1n],
      [2n ** 64n - 65536n, SLOT],
    ] as const) {
      expect(unmap([one, [at, bytes]])).toBe(-Errno.EINVAL); // and the first was not removed
    }
    expect(content("a").toString("latin1", 0, 4)).not.toBe("kept");
    expect(unmap(Array(256).fill(one))).toBe(0); // what is not mapped is none the worse
    expect(content("a").toString("latin1", 0, 4)).toBe("kept");
  });

  test("W17: reads zeros of a file that is cut under its mapping, and does not lengthen it again", () => {
    const nodeid = node("a");
    const fh = open(fs, nodeid, O_RDWR);
    expect(map(nodeid, { fh, flags: READ | WRITE, bytes: 4 * SLOT })).toBe(0);
    const valid = (1 << FuseSetattrValid.SIZE) | (1 << FuseSetattrValid.FH);
    window(2 * SLOT, 4).write("gone");
    expect(setattr(fs, nodeid, { valid, fh, size: BigInt(SLOT + 10) }).error).toBe(0);
    expect(window(SLOT + 10, 3 * SLOT - 10).every((byte) => byte === 0)).toBe(true);
    expect(same(window(SLOT, 10), content("a").subarray(SLOT))).toBe(true);
    window(2 * SLOT, 4).write("back");
    expect(release(fs, nodeid, fh)).toBe(0);
    expect(content("a").length).toBe(SLOT + 10);
  });

  test("W17: empties a mapped file on O_TRUNC, and survives a cut by the host", () => {
    const nodeid = node("a");
    for (const cut of [
      () => open(fs, nodeid, O_RDWR | O_TRUNC),
      () => create(fs, ROOT, "a", O_RDWR | O_TRUNC, 0o600).fh,
    ]) {
      nodefs.writeFileSync(path("a"), noise(SIZE, 5));
      expect(map(nodeid, { flags: READ | WRITE })).toBe(0);
      expect(window(0, 100).some((byte) => byte !== 0)).toBe(true);
      expect(cut()).toBeGreaterThan(0);
      expect(window(0).every((byte) => byte === 0)).toBe(true);
    }
    nodefs.writeFileSync(path("b"), noise(SIZE, 5));
    expect(map(node("b"), { flags: READ | WRITE, bytes: 4 * SLOT })).toBe(0);
    nodefs.truncateSync(path("b"), 7);
    window(0, 4 * SLOT).fill("q");
    expect(unmap([[0, 4 * SLOT]])).toBe(0);
    expect(content("b").toString()).toBe("qqqqqqq");
  });

  test("W17: refuses truncated arguments of both requests", () => {
    const nodeid = node("a");
    for (const bytes of [0, 8, 39]) {
      const cut = fs.request(FuseOpcode.SETUPMAPPING, new Uint8Array(bytes), { nodeid });
      expect(cut.error).toBe(-Errno.EINVAL);
    }
    for (const bytes of [0, 3]) {
      expect(fs.request(FuseOpcode.REMOVEMAPPING, new Uint8Array(bytes)).error).toBe(-Errno.EINVAL);
    }
  });
});
