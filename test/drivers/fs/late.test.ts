// The guest's virtio-fs driver against a device that breaks the rings, is late, or never answers;
// and what it gives back to the server, and when.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { HANDLE, run, when } from "../../support/fs-run.ts";
import {
  entry,
  FILE,
  type Request,
  type ScriptedFs,
  type ScriptOptions,
} from "../../support/fs-script.ts";

describe("a device that breaks the rings is given up, and one that is silent is not", () => {
  const given = (device: ScriptedFs) => expect(device.resets).toBe(1);

  test("D2: READ longer than asked: reset, and every call from then on is -EIO", async () => {
    const { results, device } = await run("mosrstlcd", when(FuseOpcode.READ, { used: 8193 + 16 }));
    expect(results).toEqual([
      0,
      HANDLE,
      0,
      -Errno.EIO,
      -Errno.EIO,
      -Errno.EIO,
      -Errno.ENOTDIR,
      0,
      -Errno.EIO,
    ]);
    given(device);
  });

  test("a late answer is an answer, however much longer it takes than others (fault 27)", async () => {
    const late = when(FuseOpcode.LOOKUP, { afterMs: 20_000 });
    const { results, device } = await run("ms", late);
    expect([results, device.resets]).toEqual([[0, 0], 0]);
  });

  test("so is one to INIT", async () => {
    const { results } = await run("ms", when(FuseOpcode.INIT, { afterMs: 20_000 }));
    expect(results).toEqual([0, 0]);
  });

  test("RELEASEs that are late hold up nobody until the pool is empty, and then for as long", async () => {
    const late = { ...when(FuseOpcode.RELEASE, { afterMs: 8000 }), queueSizesMax: [4, 4] };
    const { results, device } = await run("mocococococ", late);
    expect(results.filter((result) => result < 0)).toEqual([]);
    expect(device.resets).toBe(0);
  });
});

describe("a device that is late", () => {
  const slow: ScriptOptions = {
    script: ({ opcode }) => (opcode === FuseOpcode.INIT ? undefined : { afterMs: 30 }),
  };

  test("the thread waits and others run meanwhile (fault 27)", async () => {
    // Two scripts: the second finds its results in the gaps of the first.
    const { results } = await run("m>ww", slow, "sorc");
    expect(results).toEqual([0, 0, 0, HANDLE, 8, 0, 0, 0]);
  });

  test("two threads that ask for one name at once get one node, whose references all count", async () => {
    const { results, device } = await run("m>soc", slow, "soc");
    expect(results.filter((r) => r < 0)).toEqual([]);
    const lookups = device.opcodes().filter((opcode) => opcode === FuseOpcode.LOOKUP);
    expect(lookups.length).toBe(2);
  });

  test("a killed thread ends after the device's answer, not before", async () => {
    const { results, device } = await run(
      "m>wkws",
      { script: (r) => (r.opcode === FuseOpcode.READ ? { afterMs: 300 } : undefined) },
      "or",
    );
    // The victim's read is not noted: it did not return.
    expect(results).toEqual([0, 0, HANDLE, 0, 0, 0, 0]);
    expect(device.resets).toBe(0);
  });

  test("a file that is closed during a read is released after it (fault 37)", async () => {
    const script = (r: Request) => (r.opcode === FuseOpcode.READ ? { afterMs: 150 } : undefined);
    const { results, device } = await run("mo>wcww", { script }, "r");
    expect(results).toEqual([0, HANDLE, 0, 0, 0, 8, 0, 0]);
    expect(device.opcodes().slice(-2)).toEqual([FuseOpcode.READ, FuseOpcode.RELEASE]);
  });

  test("a queue with room for four requests serves many threads", async () => {
    const options = { ...slow, queueSizesMax: [1, 4] };
    expect((await run("m>>>>>>>>sorc", options, "sSdl")).results.filter((r) => r < 0)).toEqual([]);
  });
});

describe("FORGET (fault 33)", () => {
  /** Every look at /file finds another node: the one before is stale. */
  const restless = (): ScriptOptions => {
    let next = 100;
    return {
      script: ({ opcode, arguments: args }) =>
        opcode === FuseOpcode.LOOKUP && args.toString("latin1") === "file\0"
          ? { payload: entry(next++, { validS: 0 }) }
          : undefined,
    };
  };
  const forgotten = (device: ScriptedFs) =>
    device.requests
      .filter(({ opcode }) => opcode === FuseOpcode.BATCH_FORGET)
      .flatMap(({ arguments: args }) =>
        Array.from({ length: args.readUInt32LE(0) }, (_, i) => [
          Number(args.readBigUInt64LE(8 + i * 16)),
          Number(args.readBigUInt64LE(16 + i * 16)),
        ]),
      );

  test("F7 a name that leads to another file gives the first one back, at once, on queue 0", async () => {
    const { device } = await run("msss", restless());
    expect(forgotten(device)).toEqual([
      [100, 1],
      [101, 1],
    ]);
    for (const { opcode, queue } of device.requests) {
      expect(queue).toBe(opcode === FuseOpcode.BATCH_FORGET ? 0 : 1);
    }
  });

  test("the references of all lookups are given back together", async () => {
    let gone = false;
    const script = ({ opcode, arguments: args }: Request) => {
      if (opcode !== FuseOpcode.LOOKUP || args.toString("latin1") !== "file\0") return undefined;
      return gone ? { error: -Errno.ENOENT } : { payload: entry(FILE, { validS: 0 }) };
    };
    const wrapped = (r: Request) => {
      const answer = script(r);
      if (r.opcode === FuseOpcode.OPEN) gone = true;
      return answer;
    };
    const { results, device } = await run("msssocs", { script: wrapped });
    expect(results).toEqual([0, 0, 0, 0, HANDLE, 0, -Errno.ENOENT]);
    expect(forgotten(device)).toEqual([[FILE, 4]]);
  });

  test("an open file's node is not forgotten before its RELEASE was answered", async () => {
    const { device } = await run("mosc", restless());
    const order = device.opcodes();
    expect(order.indexOf(FuseOpcode.BATCH_FORGET)).toBeGreaterThan(
      order.indexOf(FuseOpcode.RELEASE),
    );
    expect(forgotten(device)).toEqual([[100, 1]]);
  });

  test("keeps messages that find no room on the queue, and sends them later", async () => {
    const { device } = await run(`m${"s".repeat(20)}w`, {
      ...restless(),
      queueSizesMax: [2, 64],
      hiprioDeafFor: 1,
    });
    expect(forgotten(device)).toEqual(Array.from({ length: 19 }, (_, i) => [100 + i, 1]));
  });

  test("a node that was refused is given back", async () => {
    const script = when(FuseOpcode.LOOKUP, { payload: entry(9, { type: 3 }) });
    expect(forgotten((await run("ms", script)).device)).toEqual([[9, 1]]);
  });
});
