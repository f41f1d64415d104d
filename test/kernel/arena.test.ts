// Objects of applications: arenas, scopes, faults, and what images with checks find.
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { compileOnce } from "../support/compiled.ts";
import { collectHits, compileGuest, type GuestImage } from "../support/guest.ts";

const MIB = 1024 * 1024;
/** A chunk of 64 that checks hold back takes a page of the heap. */
const QUARANTINE_BYTES = 64 * 4096;

let checked: GuestImage;
let release: GuestImage;
beforeAll(async () => {
  checked = await compileGuest("test/guest/arena.ts");
  const { wasm, map } = await compileOnce("test/guest/arena.ts", "release", { kind: "calls" });
  const module = new WebAssembly.Module(wasm);
  release = { module, map, points: [], hits: new Uint8Array() };
});

/** A booted guest. */
async function bootGuest(image: GuestImage, options: Partial<MachineOptions> = {}) {
  // The wall clock is the same number as the monotonic one.
  const clock = new ManualClock(1.7e18);
  const log: string[] = [];
  let text = "";
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 32 * MIB,
    clock,
    entropy: (into) => into.fill(7),
    console: (line) => {
      text += line;
    },
    log: (level, component, message) => log.push(`${level} ${component}: ${message}`),
    ...options,
  });
  machine.boot();
  text = "";
  const call = (name: string, ...args: number[]) => machine.call(name, ...args) as number;
  /** Calls a function that begins threads, and lets them end. */
  const run = (name: string, ...args: number[]) => {
    call(name, ...args);
    for (let ms = 0; ms < 10_000 && !machine.ended && call("living") !== 0; ms++) {
      while (clock.settle() > 0);
      clock.advance(1);
    }
    if (machine.ended) return; // a panic, which the test reads from the exit
    expect(call("living")).toBe(0);
  };
  const end = () => {
    if (image.points.length > 0) collectHits(image, machine);
    machine.dispose();
  };
  return { machine, clock, log, call, run, end, text: () => text };
}

/** The panic that the guest's function ends in. */
async function panicOf(image: GuestImage, name: string) {
  const guest = await bootGuest(image);
  try {
    guest.run(name);
  } catch {
    // the exit has it
  }
  const exit = await guest.machine.exited;
  if (exit.kind !== "panic") throw new Error(`${name}: ${exit.kind}`);
  guest.end();
  return exit;
}

describe.each(["checked", "release"])("an image that is %s", (kind) => {
  const image = () => (kind === "checked" ? checked : release);
  const held = kind === "checked" ? QUARANTINE_BYTES : 0;

  test("A1, A4: threads that switch while they build see their own objects, and hold none when idle", async () => {
    const guest = await bootGuest(image());
    guest.run("builders");
    expect(guest.call("counted")).toBe(100);
    expect(guest.call("switched")).toBe(100 * 5 * 9);
    guest.end();
  });

  test("A2: a thousand requests leave what one leaves", async () => {
    const guest = await bootGuest(image());
    guest.run("requests", 100); // fills the quarantine, and the tables grow
    const before = guest.call("heap");
    guest.run("requests", 1000);
    expect(guest.call("heap")).toBe(before);
    expect(before).toBeLessThan(20_000 + 4 * held);
    guest.end();
  });

  test("A2, A4: a scope inside another frees its own objects only", async () => {
    const guest = await bootGuest(image());
    guest.run("nested");
    expect(guest.call("counted")).toBe(1);
    guest.end();
  });

  for (const [ending, name] of [
    ["ends", "ends"],
    ["is killed", "is_killed"],
    ["faults", "missing_key"],
  ] as const) {
    test(`A3: a thread that ${ending} leaves no objects`, async () => {
      const guest = await bootGuest(image());
      for (let i = 0; i < 80; i++) guest.run(name);
      const before = guest.call("heap");
      for (let i = 0; i < 80; i++) guest.run(name);
      expect(guest.call("heap")).toBe(before);
      guest.end();
    });
  }

  test("A7: an arena at its limit faults its thread", async () => {
    const guest = await bootGuest(image(), { parameters: "arena=256" });
    guest.run("builds_for_ever");
    expect(guest.text()).toBe("again 7\n");
    const where =
      kind === "checked" ? "at test/guest/arena.ts:" : "in test/guest/arena/builds_for_";
    const start = "error guest: thread fault: arena: the thread's limit is reached at ";
    expect(guest.log).toHaveLength(1);
    expect(guest.log[0]).toContain(start);
    expect(guest.log[0]).toContain(where);
    guest.end();
  });

  test("A7: a heap without room faults the thread that asks, and the machine goes on", async () => {
    const guest = await bootGuest(image(), { parameters: "arena=1000000", memoryBytes: 16 * MIB });
    guest.run("runs_out_of_memory");
    expect(guest.text()).toBe("again 7\n");
    expect(guest.log[0]).toContain("thread fault: arena: out of memory at ");
    guest.run("ends");
    expect(guest.call("counted")).toBe(2);
    guest.end();
  });

  test("A8: initialisers of globals may allocate, before there is a heap", async () => {
    const guest = await bootGuest(image());
    guest.run("initialised");
    expect(guest.call("counted")).toBe(1);
    guest.end();
  });

  test("A8: initialisers that allocate more than the RAM end the machine with the reason", async () => {
    const guest = await bootGuest(image(), { memoryBytes: 3 * 65536 }).catch((error) => error);
    expect(String(guest)).toMatch(/memory|no memory/);
  });

  test("A10: the clock, entropy and console of asc's library are the kernel's", async () => {
    const guest = await bootGuest(image());
    guest.run("the_world");
    expect(guest.text()).toBe("logged 1.5\ntraced 1.0 2.5\n");
    const imports = WebAssembly.Module.imports(image().module);
    const modules = new Set(imports.map(({ module, name }) => (module === "env" ? name : module)));
    expect(modules).toEqual(new Set(["memory", "hypercall", "wasi_snapshot_preview1"]));
    guest.end();
  });

  test("A11: a throw restarts its thread where it asked to, and is logged with the author's line", async () => {
    const guest = await bootGuest(image());
    guest.run("missing_key");
    expect(guest.text()).toBe("again 7\nagain 8\nagain 9\n");
    expect(guest.machine.faults).toBe(3);
    const line =
      /^error guest: thread fault: Key does not exist at test\/guest\/arena\.ts:\d+:\d+$/;
    expect(guest.log).toEqual(Array(3).fill(expect.stringMatching(line)));
    guest.end();
  });

  test("a thread that faults in a circle leaves the host its turns, and is logged ten times a second", async () => {
    const guest = await bootGuest(image());
    guest.call("faults_in_a_circle");
    for (let i = 0; i < 50; i++) guest.clock.settle();
    expect(guest.machine.faults).toBeGreaterThan(40);
    expect(guest.log).toHaveLength(10);
    guest.end();
  });

  test("a throw in the fault entry ends the machine", async () => {
    expect(await panicOf(image(), "panics_in_its_fault_entry")).toMatchObject({
      message: "second",
      file: "test/guest/arena.ts",
    });
  });

  test("an assertion of the kernel ends the machine, also in a thread with a fault entry", async () => {
    const exit = await panicOf(image(), "panics_in_the_kernel");
    expect(exit).toMatchObject({ message: "memory: double free", file: "torito/kernel/memory.ts" });
  });

  test("a throw in a thread without a fault entry ends the machine", async () => {
    const exit = await panicOf(image(), "panics_without_a_fault_entry");
    expect(exit).toMatchObject({ message: "not caught", file: "test/guest/arena.ts" });
  });

  test("a thread without a fault entry that reaches the limit ends the machine", async () => {
    const exit = await panicOf(image(), "panics_the_limit");
    expect(exit.message).toBe("arena: the thread's limit is reached");
    expect(exit.stack).toContain("test/guest/arena/panics_the_limit");
  });

  test("nothing is allocated outside a thread once the machine has booted", async () => {
    const exit = await panicOf(image(), "panics_outside_a_thread");
    expect(exit.message).toBe("arena: allocation outside a thread");
  });
});

describe("A6: the end of a scope panics", () => {
  const cases = {
    panics_a_global_string:
      'the global last (test/guest/arena.ts:L): String still reaches the string "user 5"',
    panics_an_object_in_a_map:
      "the global sessions (test/guest/arena.ts:L): Map<String,Session> still reaches an object",
    panics_a_static_field:
      "the global Session.recent (test/guest/arena.ts:L): Session still reaches an object",
  };
  for (const [name, message] of Object.entries(cases)) {
    const reached = name.replace("panics_", "").replaceAll("_", " ");
    test(`${reached} that reaches its objects`, async () => {
      const exit = await panicOf(checked, name);
      const text = exit.message.replace(/:\d+\)/, ":L)");
      expect(text).toBe(`arena: ${message} of a scope that ends`);
      expect(exit.stack).toContain("test/guest/arena.ts");
    });
  }

  test("a stale string is poison, and its next use faults", async () => {
    const exit = await panicOf(checked, "panics_a_stale_string");
    expect(exit.message).toContain("is it one of a scope that has ended?");
  });
});

describe("the build refuses, with file, line and column", () => {
  const copy = mkdtempSync(join(tmpdir(), "torito-ban-"));
  beforeAll(() => {
    for (const name of ["abi", "kernel", "drivers", "guest", "apps", "tools", "package.json"]) {
      cpSync(name, join(copy, name), { recursive: true });
    }
    symlinkSync(resolve("node_modules"), join(copy, "node_modules"));
  });
  afterAll(() => rmSync(copy, { recursive: true }));

  /** The message of a build of HelloWorld, with a function of the kernel or a driver changed. */
  async function messageWith(file: string, from: string, to: string): Promise<string> {
    const path = join(copy, file);
    const text = readFileSync(path, "utf8");
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
    try {
      const { compile } = await import(join(copy, "tools/compile.mjs"));
      await compile("apps/hello-world/main.ts", "release");
      return "it compiled";
    } catch (error) {
      return (error as Error).message;
    } finally {
      writeFileSync(path, text);
    }
  }

  test("A5: a string that the kernel builds", async () => {
    const banner = '  print("torito: ");';
    const message = await messageWith(
      "kernel/main.ts",
      banner,
      `  print("torito" + bootInfo.toString());`,
    );
    expect(message).toMatch(
      /^torito\/kernel\/main\.ts:\d+:\d+: torito\/kernel\/main\/banner allocates/,
    );
  });

  test("an array access of the kernel that may throw what would count as the application's", async () => {
    const message = await messageWith(
      "kernel/main.ts",
      '  print("torito: ");',
      "  const few: StaticArray<u8> = [1, 2];\n  printNumber(few[<i32>bootInfo]);",
    );
    expect(message).toMatch(
      /^torito\/kernel\/main\.ts:\d+:\d+: torito\/kernel\/main\/banner calls what may throw/m,
    );
  });
});
