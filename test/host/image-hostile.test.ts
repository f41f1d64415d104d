// Images of users who err, or who mean harm: what is wrong is said, and nothing that a guest may
// execute reaches the host, nor a machine beside it.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { checkSections } from "../../host/sections.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { assemble, guest, print } from "../support/wat.ts";
import { HANDSHAKE, MIB, machine } from "../support/wat-machine.ts";

const MEMORY = '(import "env" "memory" (memory 1 65536)) (export "memory" (memory 0))';
const ENTRIES: Record<string, string> = {
  _initialize: "",
  boot: "(param i32)",
  interrupt: "(param i32)",
  run: "(param i32) (result i32) i32.const 0",
};

/** An image with other types for some of its entry points. */
const typed = (others: Record<string, string>) =>
  assemble(
    "typed.wat",
    `(module ${MEMORY} ${Object.entries({ ...ENTRIES, ...others })
      .map(([name, type]) => `(func (export "${name}") ${type})`)
      .join("\n")})`,
  );

const create = (image: BufferSource | WebAssembly.Module) =>
  Machine.create({ image, memoryBytes: MIB });

describe("names an entry point of another type when the machine is created", () => {
  test.each([
    ["boot", "(param i64)", "boot() is not of the type (i32) -> ()"],
    ["boot", "", "boot() is not"],
    ["run", "(param i32)", "run() is not of the type (i32) -> (i32)"],
    ["run", "(param i32) (result f64) f64.const 0", "run() is not"],
    ["interrupt", "(param i32 i32)", "interrupt() is not"],
    ["_initialize", "(result i32) i32.const 0", "_initialize() is not of the type () -> ()"],
  ])("%s %s", async (name, type, message) => {
    const image = await typed({ [name]: type });
    await expect(create(image)).rejects.toThrow(`image: its ${message}`);
    await expect(create(await WebAssembly.compile(image))).rejects.toThrow(`image: its ${message}`);
    (await create(await typed({}))).dispose();
  });
});

describe("runs a start function as the first part of boot", () => {
  const started = (body: string) => ({ fields: `(func $go ${body}) (start $go)` });

  test("that powers off ends the machine with its code", async () => {
    const { machine: m } = await machine(started("(call $proc_exit (i32.const 9))"));
    m.boot();
    expect(await m.exited).toEqual({ kind: "power-off", code: 9 });
    expect(() => m.boot()).toThrow("the machine has ended");
  });

  test.each([
    ["panics", "(call $panic (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2))", "panic"],
    ["traps", "unreachable", "unreachable"],
    ["recurs without end", "(call $go)", "Maximum call stack size exceeded"],
  ])("that %s is a panic", async (_, body, message) => {
    const { machine: m } = await machine(started(body));
    m.boot();
    expect(await m.exited).toMatchObject({ kind: "panic", message, code: 70 });
  });

  test("that prints is heard, and may return", async () => {
    const fields = '(data (i32.const 0x5000) "go\\n")';
    const { fields: go } = started(print(0x5000, 3));
    const { machine: m, lines } = await machine({ fields: fields + go });
    m.boot();
    expect(lines).toEqual(["go\n"]);
    m.dispose();
    expect(await m.exited).toEqual({ kind: "disposed" });
  });

  test("is watched by the watchdog", async () => {
    const presence = new Int32Array(1);
    const seen: number[] = [];
    const entropy = () => {
      seen.push(presence[0]!);
    };
    const draw = "(drop (call $random_get (i32.const 0) (i32.const 1)))";
    const clock = { now: () => seen.push(presence[0]!), realtime: () => 0n };
    await machine(started(`(drop (call $clock)) ${draw}`), {
      presence,
      entropy,
      clock: { ...clock, after: () => () => {}, defer: () => {} },
    });
    expect(seen).toEqual([1, 0]); // 0: the entropy is the host's work
    expect(presence[0]).toBe(0);
  });

  test("rejects an image whose data do not fit into memory", async () => {
    const image = await guest({ fields: '(data (i32.const 0x200000) "far")' });
    await expect(create(image)).rejects.toThrow(/does not fit 1048576 bytes/);
  });
});

describe("memory.grow ends only the guest", () => {
  const GROW = "(drop (memory.grow (i32.const 0)))";
  const panics = "(call $panic (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0))";
  test.each([
    ["in boot", { boot: GROW }],
    ["in a turn", { run: `${GROW} i32.const 0` }],
    ["in front of a device's register", { boot: `${GROW} ${HANDSHAKE}` }],
    ["in front of the console", { run: `${GROW} ${print(0, 8)} i32.const 0` }],
    ["in front of entropy", { run: `${GROW} (call $random_get (i32.const 0) (i32.const 8))` }],
    ["in front of power-off", { boot: `${GROW} (call $proc_exit (i32.const 0))` }],
    ["in front of a panic", { boot: `${GROW} ${panics}` }],
  ])("%s", async (_, text) => {
    const { machine: other } = await machine({});
    other.boot();
    const bytes = await guest(text);
    for (const image of [bytes, await WebAssembly.compile(bytes)]) {
      const { machine: m } = await machine({}, { image, devices: [fakeDevice()] });
      m.boot();
      const message = "memory.grow, in a memory of fixed size";
      expect(await m.exited).toMatchObject({ kind: "panic", message });
    }
    other.turn();
    other.dispose();
    expect(await other.exited).toEqual({ kind: "disposed" });
  });

  test.each([GROW, `${GROW} unreachable`, `${GROW} (call $proc_exit (i32.const 0))`])(
    "in a start function it is refused: %s",
    async (body) => {
      const image = await guest({ fields: `(func $go ${body}) (start $go)` });
      await expect(create(image)).rejects.toThrow("image: its start function grows the memory");
    },
  );

  test("detaches nothing in shared memory", async () => {
    const text = {
      memory: "1 65536 shared",
      boot: `${GROW} (i32.store (i32.const 0) (i32.const 7))`,
    };
    const { machine: m } = await machine(text, { sharedMemory: true });
    m.boot();
    expect(m.memory.view.getInt32(0, true)).toBe(7);
    m.dispose();
    expect(await m.exited).toEqual({ kind: "disposed" });
  });

  test("fails by more than 0 pages, and the guest goes on", async () => {
    const { machine: m } = await machine({
      boot: "(i32.store (i32.const 0x4000) (memory.grow (i32.const 1)))",
    });
    m.boot();
    expect(m.memory.view.getInt32(0x4000, true)).toBe(-1);
    m.dispose();
  });

  test("with real devices, connections and a window for files", async () => {
    const vsock = new VsockDevice({ cid: 3 });
    const site = new FsDevice({ directory: "test", tag: "site", windowBytes: 65536 });
    const devices = [vsock, site];
    const { machine: m } = await machine({ run: `${GROW} i32.const 0` }, { devices });
    await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
    m.boot();
    expect(await m.exited).toMatchObject({ kind: "panic" });
  });
});

describe("refuses images with memory of their own", () => {
  /** A section with the given bytes after the header; a whole image could not be assembled. */
  const withSection = (id: number, ...body: number[]) =>
    Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, id, body.length, ...body]);

  test.each([
    ["objects of a collector", withSection(1, 1, 0x5f, 0), "types of objects"],
    ["recursive types", withSection(1, 1, 0x4e, 1, 0x60, 0, 0), "types of objects"],
    ["exceptions that hold others", withSection(1, 1, 0x60, 1, 0x69, 0), "takes references"],
    ["a table that grows", withSection(4, 1, 0x70, 0, 1), "a table without a maximum"],
    ["large tables", withSection(4, 2, 0x70, 1, 0, 1, 0x6f, 1, 0, 0x80, 0x80, 4), "65537 entries"],
    ["a table of objects", withSection(4, 1, 0x63, 0x70, 1, 0, 1), "a table of objects"],
    ["a second memory", withSection(5, 1, 0, 1), "a second memory"],
  ])("%s", (_, bytes, message) => {
    expect(() => checkSections(bytes)).toThrow(message);
  });

  test("refuses them in an image, too", async () => {
    const entries = Object.entries(ENTRIES).map(
      ([name, type]) => `(func (export "${name}") ${type})`,
    );
    const image = await assemble(
      "t.wat",
      `(module ${MEMORY} (table 1 funcref) ${entries.join(" ")})`,
    );
    await expect(create(image)).rejects.toThrow("image: it has a table without a maximum");
  });

  test("accepts all images of the project", () => {
    const images = readdirSync("build").filter((name) => name.endsWith(".wasm"));
    expect(images).toContain("web-server.wasm");
    for (const name of images) checkSections(readFileSync(`build/${name}`));
  });
});

describe("a guest that catches its own end is stopped when it returns", () => {
  const caught = (body: string) => `(try (do ${body}) (catch_all))`;
  test("from power-off", async () => {
    const { machine: m } = await machine({ boot: caught("(call $proc_exit (i32.const 5))") });
    m.boot();
    expect(await m.exited).toEqual({ kind: "power-off", code: 5 });
  });

  test("from a fault of a device or of the console's reader", async () => {
    const fail = () => {
      throw new Error("broken reader");
    };
    const devices = [fakeDevice({ activate: fail })];
    const { machine: m } = await machine({ boot: caught(HANDSHAKE) }, { devices });
    m.boot();
    await expect(m.exited).rejects.toThrow("broken reader");
    const fields = '(data (i32.const 0x5000) "x\\n")';
    const text = { fields, run: `${caught(print(0x5000, 2))} i32.const 0` };
    const { machine: other } = await machine(text, { console: fail });
    other.boot();
    await expect(other.exited).rejects.toThrow("broken reader");
  });

  test("an uncaught exception of the guest is a panic", async () => {
    const { machine: m } = await machine({ fields: "(tag $oops)", boot: "(throw $oops)" });
    m.boot();
    const message = "an exception that nobody caught";
    expect(await m.exited).toMatchObject({ kind: "panic", message });
  });
});
