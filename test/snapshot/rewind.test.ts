// A machine that goes back to a snapshot: fresh each time, with nothing left behind on the host.
import * as nodefs from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import type { VirtioDevice } from "../../host/device.ts";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { descriptorsIn } from "../support/descriptors.ts";
import { savedGuest } from "../support/guest.ts";
import { Site, webServer } from "../support/snapshot-site.ts";
import { guest } from "../support/wat.ts";
import { MIB, machine } from "../support/wat-machine.ts";
import { Client } from "../support/web-server-script.ts";

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  nodefs.writeFileSync(`${directory}/index.html`, "home");
  nodefs.writeFileSync(`${directory}/large.bin`, "x".repeat(1 << 20));
});
afterAll(removeFolders);

describe("SN15", () => {
  test("10,000 times: no descriptor, timer, connection or byte of the heap is left", async () => {
    const site = await Site.boot(directory);
    site.get("/");
    const snapshot = await site.machine.snapshot();
    const round = () => {
      const client = site.connect();
      client.get("/");
      expect(client.received).toContain("home");
      site.machine.rewind(snapshot);
      client.events.closed();
      site.settle();
    };
    for (let i = 0; i < 10; i++) round();
    const before = { descriptors: descriptorsIn(directory), timers: site.clock.timers };
    const blocks = site.count("heapBlocks");
    site.machine.rewind(snapshot);
    for (let i = 0; i < 10_000; i++) round();
    expect({ descriptors: descriptorsIn(directory), timers: site.clock.timers }).toEqual(before);
    expect(site.vsock.stats.connections).toBe(0);
    expect(site.count("heapBlocks")).toBe(blocks);
    expect(site.faults()).toBe(0);
  });

  test("in the middle of a long response to a slow client, who is reset", async () => {
    const site = await Site.boot(directory);
    const snapshot = await site.machine.snapshot();
    for (let i = 0; i < 20; i++) {
      const slow = site.connect(new Client(true));
      slow.get("/large.bin");
      site.machine.rewind(snapshot);
      expect(slow.left).toBe(true);
      slow.events.closed();
      expect(site.vsock.holdings).toEqual({ txDescriptors: 0, rxBuffers: 0, windowBytes: 0 });
      expect(site.get("/")).toContain("home");
    }
  });
});

test("the machine is the same each time, whatever was done with it", async () => {
  const entropy = (into: Uint8Array) => void into.fill(9);
  const site = await Site.boot(directory, { entropy });
  site.get("/");
  const snapshot = await site.machine.snapshot();
  site.machine.rewind(snapshot);
  const hash = site.hash();
  for (let i = 1; i < 5; i++) {
    for (let k = 0; k < 10 * i; k++) site.get(k % 2 === 0 ? "/large.bin" : "/none");
    site.clock.advance(1000 * i);
    expect(site.hash()).not.toBe(hash);
    site.machine.rewind(snapshot);
    expect(site.hash()).toBe(hash);
  }
});

test("bytes that the guest wrote far up in its heap are gone", async () => {
  const site = await Site.boot(directory);
  const snapshot = await site.machine.snapshot();
  const { view } = site.machine.memory;
  const top = () => view.getUint32(TIME_PAGE_ADDRESS + TimePage.heapTop, true);
  expect(top()).toBeLessThan(2 * MIB);
  const block = Number(site.machine.call("ToroGetMem", 9 * MIB));
  view.setUint32(block + 8 * MIB, 0x12345678, true);
  expect(top()).toBeGreaterThan(block + 9 * MIB);
  site.machine.rewind(snapshot);
  expect(view.getUint32(block + 8 * MIB, true)).toBe(0);
});

test("a guest that publishes no top is looked through from end to end", async () => {
  const { machine: m } = await machine({ run: "i32.const 0" });
  m.boot();
  const snapshot = await m.snapshot();
  m.memory.view.setUint32(MIB / 2, 7, true);
  const later = await m.snapshot();
  m.rewind(snapshot);
  expect(m.memory.view.getUint32(MIB / 2, true)).toBe(0);
  m.rewind(later);
  expect(m.memory.view.getUint32(MIB / 2, true)).toBe(7);
});

test("memory that is shared is saved and put back alike", async () => {
  const { machine: m } = await machine({ memory: "1 65536 shared" }, { sharedMemory: true });
  m.boot();
  m.memory.view.setUint32(0x9000, 5, true);
  const snapshot = await m.snapshot();
  m.memory.view.setUint32(0x9000, 6, true);
  m.memory.view.setUint32(MIB / 2, 7, true);
  m.rewind(snapshot);
  const words = [0x9000, MIB / 2].map((at) => m.memory.view.getUint32(at, true));
  expect(words).toEqual([5, 0]);
  expect(m.memory.wasm.buffer).toBeInstanceOf(SharedArrayBuffer);
});

describe("refused", () => {
  test("before boot, and after the end", async () => {
    const { machine: m } = await machine({ run: "i32.const 0" });
    const busy = { code: "ERR_SNAPSHOT_BUSY" };
    await expect(m.snapshot()).rejects.toMatchObject({
      ...busy,
      message: "snapshot: the machine has not booted",
    });
    m.boot();
    const snapshot = await m.snapshot();
    m.dispose();
    await expect(m.snapshot()).rejects.toMatchObject({
      ...busy,
      message: "snapshot: the machine has ended",
    });
    expect(() => m.rewind(snapshot)).toThrow("the machine has ended");
  });

  test("with a device that cannot be saved, by name", async () => {
    const device: VirtioDevice = {
      id: 4,
      name: "dice",
      features: 0n,
      queueSizesMax: [8],
      queueNames: ["throws"],
      config: new Uint8Array(0),
      attach() {},
      activate() {},
      notify() {},
      halted() {},
      reset() {},
      dispose() {},
    };
    const { machine: m } = await machine({ run: "i32.const 0" }, { devices: [device] });
    m.boot();
    await expect(m.snapshot()).rejects.toThrow("snapshot: the device dice cannot be saved");
  });

  test("in a turn, and while it is traced", async () => {
    const { wasm: image } = await savedGuest("test/guest/snapshots.ts");
    let inside: (() => void) | null = null;
    const m = await Machine.create({ image, memoryBytes: 4 * MIB, console: () => inside?.() });
    m.boot();
    const snapshot = await m.snapshot();
    let message = "";
    inside = () => {
      try {
        m.rewind(snapshot);
      } catch (error) {
        message = (error as Error).message;
      }
    };
    m.call("sayRest");
    expect(message).toBe("the machine is not idle");
    inside = null;
    const traced = await Machine.create({ image, memoryBytes: 4 * MIB, trace: () => {} });
    traced.boot();
    expect(() => traced.rewind(snapshot)).toThrow("a machine that is traced does not go back");
    await expect(traced.snapshot()).resolves.toBeDefined();
  });
});

describe("an image that cannot be saved, with the reason", () => {
  test.each([
    [
      "a global that is not exported",
      "(global (mut i32) (i32.const 1))",
      "its mutable global 0 is not exported",
    ],
    [
      "a global that is no number",
      '(global (export "g") (mut funcref) (ref.null func))',
      "its mutable global 0 is not a number",
    ],
    [
      "table.set",
      "(table 1 1 funcref) (func (table.set 0 (i32.const 0) (ref.null func)))",
      "it uses table.set",
    ],
    [
      "table.grow",
      "(table 1 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 0))))",
      "it uses table.grow",
    ],
    [
      "table.fill",
      "(table 1 1 funcref) (func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 0)))",
      "it uses table.fill",
    ],
    [
      "table.copy",
      "(table 1 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 0)))",
      "it uses table.copy",
    ],
    [
      "table.init",
      "(table 1 1 funcref) (elem func) (func (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))",
      "it uses table.init",
    ],
    ["elem.drop", "(elem func) (func (elem.drop 0))", "it uses elem.drop"],
    [
      "memory.init",
      '(data "x") (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))',
      "it uses memory.init",
    ],
    ["data.drop", '(data "x") (func (data.drop 0))', "it uses data.drop"],
    ["memory.grow", "(func (drop (memory.grow (i32.const 0))))", "it uses memory.grow"],
  ])("%s", async (_, fields, reason) => {
    const m = await Machine.create({ image: await guest({ fields }), memoryBytes: MIB });
    m.boot();
    await expect(m.snapshot()).rejects.toMatchObject({
      code: "ERR_SNAPSHOT_IMAGE",
      message: `snapshot: the image cannot be saved: ${reason}`,
    });
    m.dispose();
  });

  test("numbers of every type are kept, and every instruction is passed over", async () => {
    const fields = `
      (global $i (export "i") (mut i32) (i32.const -5))
      (global $l (export "l") (mut i64) (i64.const -6))
      (global $f (export "f") (mut f32) (f32.const -0))
      (global $d (export "d") (mut f64) (f64.const nan))
      (global $c i32 (i32.const 4))
      (table 2 2 funcref) (elem (i32.const 0) $nop)
      (data (i32.const 0x5000) "at the start") (data "passive")
      (func $nop)
      (func (export "set") (global.set $i (i32.const 7)) (global.set $l (i64.const 8))
        (global.set $f (f32.const 1.5)) (global.set $d (f64.const inf)))
      (func (param i32) (result i32) (local f32 f64 i64)
        (block $out (loop $in (br_if $out (local.get 0)) (br_table $out $in (local.get 0))))
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))) (else (nop)))
        (call_indirect (i32.const 0))
        (memory.copy (i32.const 0x6000) (i32.const 0x6000) (i32.const 0))
        (memory.fill (i32.const 0x6000) (i32.const 0) (i32.const 0))
        (drop (i32.trunc_sat_f64_s (f64.const 1)))
        (drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)))
        (drop (i32.add (memory.size) (i32.load8_u offset=4 (i32.const 0))))
        (drop (table.size 0)) (drop (ref.is_null (table.get 0 (i32.const 0))))
        (drop (ref.func $nop)) (drop (v128.const i32x4 1 2 3 4))
        (drop (i8x16.extract_lane_s 3 (v128.load (i32.const 0))))
        (drop (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
          (v128.const i64x2 0 0) (v128.load8_lane 1 (i32.const 0) (v128.const i64x2 0 0))))
        (drop (f32.const 1)) (unreachable))`;
    const m = await Machine.create({ image: await guest({ fields }), memoryBytes: MIB });
    m.boot();
    const before = await m.snapshot();
    m.memory.bytes(0x5000, 4).fill(0);
    m.call("set");
    const after = await m.snapshot();
    const clone = await Machine.restore(after, {});
    const values = (one: Machine) => ["i", "l", "f", "d"].map((name) => one.global(name));
    expect(values(clone)).toEqual([7, 8, 1.5, Number.POSITIVE_INFINITY]);
    expect(Buffer.from(clone.memory.bytes(0x5000, 6)).toString()).toBe("\0\0\0\0he");
    m.rewind(before);
    expect(values(m)).toEqual([-5, -6, -0, Number.NaN]);
    expect(Buffer.from(m.memory.bytes(0x5000, 6)).toString()).toBe("at the");
  });
});

test("fetch() in a machine that went back reaches the new guest, and what was under way fails", async () => {
  const vsock = new VsockDevice({});
  const fs = new FsDevice({ directory, tag: "site", readOnly: true });
  const m = await Machine.create({ image: webServer, memoryBytes: 16 * MIB, devices: [vsock, fs] });
  m.boot();
  expect((await m.fetch("http://x/")).status).toBe(200);
  const snapshot = await m.snapshot();
  for (let i = 0; i < 20; i++) {
    expect(await (await m.fetch("http://x/")).text()).toBe("home");
    const large = await m.fetch("http://x/large.bin");
    const cut = expect(large.text()).rejects.toThrow();
    m.rewind(snapshot);
    // One that may not be sent twice: it must not meet a connection of the guest that was.
    expect((await m.fetch("http://x/", { method: "POST", body: "x" })).status).toBe(405);
    await cut;
  }
  m.dispose();
});
