// SysMapFile and SysUnmapFile, and the guest's half of the window: with the real device over a
// directory, and with one that lies.
import * as nodefs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseEntryOut, FuseInitFlag, FuseInitOut, FuseOpcode } from "../../../abi/fuse.ts";
import { FuseRemovemappingIn, FuseSetupmappingIn } from "../../../abi/fuse-window.ts";
import { Mmio } from "../../../abi/virtio.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { GuestError } from "../../../host/memory.ts";
import { FsDevice, type FsOptions } from "../../../host/node/devices.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { Machine } from "../../../host/node/machine.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { frozenFiles } from "../../support/fs-frozen-files.ts";
import { type Answer, entry, init, type Request, ScriptedFs } from "../../support/fs-script.ts";
import { collectHits, compileGuest } from "../../support/guest.ts";

const image = await compileGuest("test/guest/files-map.ts");
const SLOT = 65536;
const RAM = 16 * 1024 * 1024;
let site = "";

beforeEach(() => {
  site = makeFolder();
  for (const name of "ABCDEFGH") nodefs.writeFileSync(`${site}/${name}`, name.repeat(5 * SLOT));
  nodefs.writeFileSync(`${site}/file`, "file");
});
afterEach(removeFolders);

interface Run {
  /** Does something on the host while the guest is asleep (the letter w). */
  meanwhile?: () => void;
  other?: string;
  /** The time at boot of both clocks. */
  startNs?: number;
  /** In place of what a register of the device says. */
  lie?: (offset: number, value: number) => number;
}

/** Runs the calls `ops` of the guest; returns their results and the device's requests by name. */
async function run(ops: string, device: FsDevice | ScriptedFs, options: Run = {}) {
  const clock = new ManualClock(options.startNs);
  const requests: string[] = [];
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: RAM,
    clock,
    devices: [device],
    parameters: `root=site ops=${ops} other=${options.other ?? ""}`,
    trace: ({ name, args }) => {
      if (args?.nodeid !== undefined) requests.push(name);
    },
  });
  const registers = machine.registers[0]!;
  const read = registers.read.bind(registers);
  registers.read = (offset, bytes) => {
    const value = read(offset, bytes);
    return options.lie?.(offset, value) ?? value;
  };
  try {
    machine.boot();
    machine.call("test_script");
    for (let ms = 0; ms < 60_000 && machine.call("unfinished") !== 0; ms++) {
      while (clock.settle() > 0);
      if (ms === 500) options.meanwhile?.();
      clock.advance(1);
      await new Promise((resolve) => setImmediate(resolve)); // for the host's thread pool
    }
    expect(machine.call("unfinished")).toBe(0);
    const at = machine.global("results");
    const count = machine.memory.view.getUint32(at, true);
    const results = Array.from({ length: count }, (_, i) =>
      Number(machine.memory.view.getBigInt64(at + 8 + i * 8, true)),
    );
    const times = (name: string) => requests.filter((one) => one === name).length;
    return { results, times, requests, machine };
  } finally {
    collectHits(image, machine);
    machine.dispose();
  }
}

const real = (slots: number, options: Partial<FsOptions> = {}) =>
  new FsDevice({ directory: site, tag: "site", windowBytes: slots * SLOT, ...options });
/** The first four bytes of a file of that letter. */
const word = (letter: string) => Buffer.from(letter.repeat(4)).readUInt32LE();

describe("the real device", () => {
  test("F11: a file is mapped after the RAM, once for all users of the part, and stays", async () => {
    const { results, times } = await run("mA2rB1rA1r2uuu1rc", real(8));
    expect(results.slice(0, 4)).toEqual([0, 0, RAM, word("A")]);
    expect(results.slice(4, 7)).toEqual([0, RAM + 2 * SLOT, word("B")]);
    expect(results.slice(7)).toEqual([0, RAM, word("A"), RAM, 0, 0, 0, RAM, word("A"), 0]);
    expect(times("SETUPMAPPING")).toBe(2);
    expect(times("READ")).toBe(0);
  });

  test("a part inside a range is at its place, after the end are zeros", async () => {
    const { results } = await run("mf2rbr", real(4));
    expect(results).toEqual([0, 0, RAM, Buffer.from("file").readUInt32LE(), RAM + SLOT + 4, 0]);
  });

  test("F16: without a window, and at a mount of a device without one, there is -ENODEV", async () => {
    const { results, times } = await run("mA1", real(0));
    expect(results).toEqual([0, 0, -Errno.ENODEV]);
    expect(times("SETUPMAPPING")).toBe(0);
  });

  test("refuses to map without file, length or flag, too much, or a directory", async () => {
    const { results } = await run("m1AnogxucdA5dc1", real(4));
    const bad = -Errno.EINVAL;
    expect(results.slice(0, 6)).toEqual([0, -Errno.EBADF, 0, bad, bad, bad]);
    expect(results.slice(6, 12)).toEqual([3 * bad, bad, 0, 0, 0, -Errno.EFBIG]);
    expect(results.slice(12)).toEqual([0, 0, -Errno.EBADF]);
    expect((await run("md1", real(4))).results).toEqual([0, 0, -Errno.EISDIR]);
  });

  test("to store to a file takes one that is open for it", async () => {
    expect((await run("mAs", real(4))).results).toEqual([0, 0, -Errno.EROFS]);
    const writable = real(4, { readOnly: false });
    expect((await run("mAs1", writable)).results).toEqual([0, 0, -Errno.EACCES, RAM]);
    const another = await run("mAhsAs1", real(4, { readOnly: false })); // was there first
    expect(another.results.slice(-3)).toEqual([0, -Errno.EACCES, RAM]);
  });

  test("updates the file's times with stored bytes as soon as it is closed", async () => {
    const before = new Date(2000, 1, 1);
    nodefs.utimesSync(`${site}/file`, before, before);
    const { results } = await run("mjseiuci", real(4, { readOnly: false }));
    const [old, now] = [results[4], results.at(-1)];
    expect(old).toBe(before.getTime() * 1e6);
    expect(now).toBeGreaterThan(old!);
    expect(nodefs.readFileSync(`${site}/file`, "utf8")).toBe("eile");
  });

  test("ranges in use are never given away: -ENOSPC, until one is let go", async () => {
    const { results, times } = await run("mA2B2C1B2uuC1rA2r", real(4));
    const full = [0, 0, RAM, 0, RAM + 2 * SLOT, 0, -Errno.ENOSPC, 0, RAM + 2 * SLOT, 0, 0];
    expect(results.slice(0, 11)).toEqual(full);
    expect(results.slice(11)).toEqual([0, RAM + 2 * SLOT, word("C"), 0, RAM, word("A")]);
    expect(times("REMOVEMAPPING")).toBe(1);
  });

  test("the range that was not used for the longest time goes first, several in one request", async () => {
    const { results, times } = await run("mA1uB1uC1uD1uA1uE2rA1r", real(4));
    // B and C are neighbours, and A was used again.
    expect(results.slice(-6)).toEqual([0, RAM + SLOT, word("E"), 0, RAM, word("A")]);
    expect(times("REMOVEMAPPING")).toBe(1);
    expect(times("SETUPMAPPING")).toBe(5);
    const sixteen = await run("mA1uB1uC1uD1uE1uF1uG1uH1uA8u", real(8));
    expect(sixteen.times("REMOVEMAPPING")).toBe(1);
  });

  test("a file that changes is mapped anew, and users of the old part keep its bytes", async () => {
    const { results, times } = await run("mA1kw1rq", real(4), {
      meanwhile: () => nodefs.writeFileSync(`${site}/A`, "new!".repeat(SLOT)),
    });
    const changed = Buffer.from("new!").readUInt32LE();
    expect(results).toEqual([0, 0, RAM, 0, 0, RAM + SLOT, changed, word("A")]);
    expect(times("SETUPMAPPING")).toBe(2);
  });

  test.each([
    ["just now", 0, 2],
    ["99 ms ago", -99, 2],
    ["in a moment, by a clock that goes before", 99, 2],
    ["100 ms ago", -100, 1],
    ["in the future, by a clock that is wrong", 10_000, 1],
  ])("a file whose ctime is %s", async (_, ms, mapped) => {
    // All changes leave the same times: only those in the tick of the ctime do so on a host.
    const files = frozenFiles(BigInt(10_000 + ms) * 1_000_000n);
    const { results, times } = await run("mA1rw1rw1r", real(4, { files }), {
      startNs: 10e9,
      meanwhile: () => nodefs.writeFileSync(`${site}/A`, "new!".repeat((5 * SLOT) / 4)),
    });
    const seen = mapped === 1 ? word("A") : Buffer.from("new!").readUInt32LE();
    expect([results[3], results[6], results[9]]).toEqual([word("A"), seen, seen]);
    expect(times("SETUPMAPPING")).toBe(mapped);
  });

  test("a file that was mapped to store to it is mapped anew as well, once nobody uses that", async () => {
    const meanwhile = () => nodefs.writeFileSync(`${site}/A`, "new!".repeat(SLOT));
    const writable = { readOnly: false };
    const changed = Buffer.from("new!").readUInt32LE();
    const free = await run("mAhsuw1r", real(4, writable), { meanwhile });
    expect(free.results.slice(-1)).toEqual([changed]);
    expect(free.times("SETUPMAPPING")).toBe(2);
    const again = await run("mAhsuwsr", real(4, writable)); // nothing has changed
    expect([again.results.slice(-2), again.times("SETUPMAPPING")]).toEqual([[RAM, changed], 1]);
  });

  test("F18: stores are on the host when SysSyncFile returns, and after SysCloseFile", async () => {
    for (const last of ["y", "c", "u1"]) {
      const { results } = await run(`mBhst${last}`, real(4, { readOnly: false }));
      expect(results.every((result) => result >= 0)).toBe(true);
      const stored = nodefs.readFileSync(`${site}/B`, "latin1").slice(0, 5);
      expect(stored).toBe(last === "u1" ? "BBBBB" : "yes!B");
      nodefs.writeFileSync(`${site}/B`, "B".repeat(5 * SLOT));
    }
  });

  describe("on a disk that is full", () => {
    const full = () => {
      const disk = { isFull: true };
      const files = new Proxy(hostFiles(), {
        get(target, key) {
          if (key !== "write") return Reflect.get(target, key).bind(target);
          return (...args: Parameters<typeof target.write>) => {
            if (!disk.isFull) return target.write(...args);
            throw Object.assign(new Error("full"), { code: "ENOSPC" });
          };
        },
      });
      return { disk, device: real(4, { readOnly: false, files }) };
    };
    const content = () => nodefs.readFileSync(`${site}/A`, "latin1").slice(0, 5);

    test("F15: keeps stored bytes in memory, and writes them once there is space again", async () => {
      const { disk, device } = full();
      const { results } = await run("mAhstuB443ruw4r", device, {
        meanwhile: () => {
          expect(content()).toBe("AAAAA");
          disk.isFull = false;
        },
      });
      expect(results.slice(0, 7)).toEqual([0, 0, 0, RAM, 0, 0, 0]);
      expect(results.slice(7, 9)).toEqual([-Errno.ENOSPC, -Errno.ENOSPC]);
      expect(results.slice(9, 13)).toEqual([RAM + SLOT, word("B"), 0, 0]);
      expect(results.slice(13)).toEqual([RAM, word("B")]);
      expect(content()).toBe("yes!A");
    });

    test("F18: it can be synced, and read, where it stays", async () => {
      const { disk, device } = full();
      const { results } = await run("mAhstuB4Ahywys1r", device, {
        meanwhile: () => {
          disk.isFull = false;
        },
      });
      const stored = Buffer.from("yes!").readUInt32LE();
      expect(results.slice(7)).toEqual([
        ...[-Errno.ENOSPC, 0, 0, -Errno.ENOSPC, 0, 0],
        ...[RAM + SLOT, RAM + SLOT, stored],
      ]);
      expect(content()).toBe("yes!A");
    });

    test("evicts unused mappings all the same, also within one request", async () => {
      const { device } = full();
      const { results, times } = await run("mAhstuB1uC1uD1uE3r", device);
      expect(results.slice(-2)).toEqual([RAM + SLOT, word("E")]);
      expect(times("REMOVEMAPPING")).toBe(5); // A, B and C; then D, A, B, C
      expect(content()).toBe("AAAAA");
    });
  });

  test("U16 with a time-out of 0 it asks every time, and everything works", async () => {
    const { results } = await run("mA1rB1rA1r", real(4, { attrTimeoutMs: 0 }));
    expect(results.filter((_, i) => i % 3 === 0).slice(1)).toEqual([
      word("A"),
      word("B"),
      word("A"),
    ]);
  });
});

/** A device with a window of four slots that answers as the script says, and maps nothing. */
function scripted(
  answer: (request: Request) => Answer | undefined = () => undefined,
  alignment: number | null = 16,
): ScriptedFs {
  const device = new ScriptedFs({
    script: (request) => {
      if (request.opcode !== FuseOpcode.INIT) return answer(request);
      const payload = init();
      const view = new DataView(payload.buffer);
      const flags = view.getUint32(FuseInitOut.flags, true);
      const without = flags & ~(1 << FuseInitFlag.MAP_ALIGNMENT);
      if (alignment === null) view.setUint32(FuseInitOut.flags, without, true);
      else view.setUint16(FuseInitOut.map_alignment, alignment, true);
      return { payload };
    },
  });
  return Object.assign(device, { sharedMemory: [4 * SLOT] });
}

const asked = (device: ScriptedFs, opcode: number) =>
  device.requests.filter((request) => request.opcode === opcode);

describe("requests of the guest", () => {
  test("U23: for whole slots of its own, by the open file's handle, to read", async () => {
    const device = scripted();
    const { results } = await run("mf2b", device);
    expect(results).toEqual([0, 0, RAM, RAM + SLOT + 4]);
    const requests = asked(device, FuseOpcode.SETUPMAPPING);
    expect(requests.map(({ nodeid, readableBytes }) => [nodeid, readableBytes])).toEqual([[2, 80]]);
    const u64 = (at: number) => Number(requests[0]!.arguments.readBigUInt64LE(at));
    expect(u64(FuseSetupmappingIn.foffset)).toBe(0);
    expect(u64(FuseSetupmappingIn.len)).toBe(2 * SLOT);
    expect(u64(FuseSetupmappingIn.flags)).toBe(2);
    expect(u64(FuseSetupmappingIn.moffset)).toBe(0);
  });

  test("attributes are asked for again after fsync, which may have written stores", async () => {
    const device = scripted();
    await run("mjiiyi", device);
    expect(device.opcodes().slice(-2)).toEqual([FuseOpcode.FSYNC, FuseOpcode.GETATTR]);
  });

  test("a nodeid that the server has given to another file finds none of the first one's ranges", async () => {
    let generation = 0;
    const device = scripted(({ opcode, arguments: args }) => {
      if (opcode !== FuseOpcode.LOOKUP) return undefined;
      const again = args.toString("latin1") === "file\0" && generation++ > 0;
      const payload = entry(again ? 5 : 2);
      new DataView(payload.buffer).setBigUint64(FuseEntryOut.generation, BigInt(generation), true);
      return { error: 0, payload };
    });
    const { results } = await run("mjsucwjcAchsc", device);
    expect(results).toEqual([0, 0, RAM, 0, 0, 0, 0, 0, 0, 0, 0, RAM + SLOT, 0]);
    const nodes = asked(device, FuseOpcode.SETUPMAPPING).map(({ nodeid }) => nodeid);
    expect(nodes).toEqual([2, 2]);
    expect(asked(device, FuseOpcode.BATCH_FORGET)).toHaveLength(1);
  });

  test("F17: a part that the device did not map is not handed out, and its slots are used again", async () => {
    let refuse = true;
    const device = scripted(({ opcode }) => {
      if (opcode !== FuseOpcode.SETUPMAPPING) return undefined;
      refuse = !refuse;
      return refuse ? {} : { error: -Errno.EIO };
    });
    const { results } = await run("mf44u", device);
    expect(results).toEqual([0, 0, -Errno.EIO, RAM, 0]);
  });

  test("F17: two threads that want the same part wait for one answer", async () => {
    const slow = ({ opcode }: Request) =>
      opcode === FuseOpcode.SETUPMAPPING ? { afterMs: 20 } : undefined;
    const device = scripted(slow);
    const { results } = await run("mf>1", device, { other: "1" });
    expect(results).toEqual([0, 0, 0, RAM, RAM]);
    expect(asked(device, FuseOpcode.SETUPMAPPING)).toHaveLength(1);
    const failing = scripted(({ opcode }) =>
      opcode === FuseOpcode.SETUPMAPPING ? { afterMs: 20, error: -Errno.ENOMEM } : undefined,
    );
    const failed = await run("mf>1", failing, { other: "1" });
    expect(failed.results).toEqual([0, 0, 0, -Errno.ENOMEM, -Errno.ENOMEM]);
  });

  test("F15: a device without resources gets ranges back; what it refuses stays, and is asked for again", async () => {
    let times = 0;
    const device = scripted(({ opcode }) =>
      opcode === FuseOpcode.REMOVEMAPPING && ++times <= 3 ? { error: -Errno.EINVAL } : undefined,
    );
    const { results } = await run("mf1ubu41u4u", device);
    expect(results.slice(2, 6)).toEqual([RAM, 0, RAM + SLOT + 4, 0]);
    // A part that the device may have removed is not handed out again.
    expect(results.slice(6)).toEqual([-Errno.EINVAL, RAM + 2 * SLOT, 0, RAM, 0]);
    const removed = asked(device, FuseOpcode.REMOVEMAPPING).map(({ nodeid, arguments: args }) => {
      const count = args.readUInt32LE(FuseRemovemappingIn.count);
      expect([nodeid, args.length]).toEqual([1, FuseRemovemappingIn.sizeof + count * 16]);
      return count;
    });
    expect(removed).toEqual([2, 1, 1, 3]);
    expect(asked(device, FuseOpcode.SETUPMAPPING)).toHaveLength(4);
  });

  test("F15: a thread that waits for room that the device then refuses gets the error, too", async () => {
    const device = scripted(({ opcode }) =>
      opcode === FuseOpcode.REMOVEMAPPING ? { afterMs: 20, error: -Errno.EDQUOT } : undefined,
    );
    const { results } = await run("mf1u>4", device, { other: "4" });
    expect(results).toEqual([0, 0, RAM, 0, 0, -Errno.EDQUOT, -Errno.EDQUOT]);
    expect(asked(device, FuseOpcode.REMOVEMAPPING)).toHaveLength(1);
  });
});

describe("a device that lies", () => {
  test("it maps nothing and says that it did: the guest reads what is in the window", async () => {
    expect((await run("mf1r", scripted())).results).toEqual([0, 0, RAM, 0]);
  });

  test.each<[string, Answer]>([
    ["a positive error", { error: 5 }],
    ["a reply that is too long", { payload: Buffer.alloc(8) }],
    ["a reply to another request", { unique: 1n }],
  ])("%s to SETUPMAPPING is -EIO", async (_, answer) => {
    const device = scripted(({ opcode }) =>
      opcode === FuseOpcode.SETUPMAPPING ? answer : undefined,
    );
    expect((await run("mf1c", device)).results).toEqual([0, 0, -Errno.EIO, 0]);
  });

  test("a device that has gone is given up, those who wait get -EIO", async () => {
    const device = scripted(({ opcode }) => {
      if (opcode === FuseOpcode.SETUPMAPPING) throw new GuestError("gone");
      return undefined;
    });
    const { results } = await run("mf>1", device, { other: "1" });
    expect(results.filter((result) => result < 0)).toEqual([-Errno.EIO, -Errno.EIO]);
  });

  test("a file that is another one each time is mapped a few times, then there is -EAGAIN", async () => {
    let times = 0n;
    const device = scripted(({ opcode, nodeid }) => {
      if (opcode !== FuseOpcode.GETATTR || nodeid === 1) return undefined;
      const payload = Buffer.alloc(104);
      payload.writeBigUInt64LE(1n, 0);
      payload.writeBigUInt64LE(++times, 16 + 8); // its size
      payload.writeUInt32LE(0o100644, 16 + 60);
      return { payload };
    });
    expect((await run("mf1", device)).results).toEqual([0, 0, -Errno.EAGAIN]);
    expect(asked(device, FuseOpcode.SETUPMAPPING)).toHaveLength(4);
  });

  const low = (register: number, value: number) => (offset: number, read: number) =>
    offset === register ? value : read;
  test.each<[string, (offset: number, value: number) => number]>([
    ["a length of all ones", low(Mmio.SHMLenLow, 0xffffffff)],
    ["a length beyond 4 GiB", low(Mmio.SHMLenHigh, 1)],
    ["a length beyond memory", low(Mmio.SHMLenLow, 5 * SLOT)],
    ["a length that is no multiple of a slot", low(Mmio.SHMLenLow, SLOT + 1)],
    ["a length of 0", low(Mmio.SHMLenLow, 0)],
    ["a place in the guest's RAM", low(Mmio.SHMBaseLow, 0x100000)],
    ["a place that begins in the RAM", low(Mmio.SHMBaseLow, RAM - SLOT)],
    ["a place at the end of memory", low(Mmio.SHMBaseLow, RAM + 4 * SLOT)],
    ["a place that wraps around", low(Mmio.SHMBaseLow, 0xffff0000)],
    ["a place beyond 4 GiB", low(Mmio.SHMBaseHigh, 1)],
    ["a place that is no multiple of a slot", low(Mmio.SHMBaseLow, RAM + 4096)],
    ["a place of all ones", low(Mmio.SHMBaseHigh, 0xffffffff)],
  ])("D14: %s is no window, and files are read as ever", async (_, lie) => {
    const device = scripted();
    expect((await run("mf1", device, { lie })).results).toEqual([0, 0, -Errno.ENODEV]);
    expect(asked(device, FuseOpcode.SETUPMAPPING)).toEqual([]);
  });

  test("D14: an alignment that is coarser than slots, or none at all, is no window", async () => {
    for (const alignment of [17, 0xffff, null]) {
      const device = scripted(undefined, alignment);
      expect((await run("mf1", device)).results).toEqual([0, 0, -Errno.ENODEV]);
    }
    expect((await run("mf1", scripted(undefined, 12))).results).toEqual([0, 0, RAM]);
  });
});
