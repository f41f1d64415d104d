// Traces: the guest's threads, the machine and its devices, in the order of their times.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { Errno } from "../../abi/errno.ts";
import { FuseOpcode } from "../../abi/fuse.ts";
import { TRACE_RECORDS, TraceRecord, TraceRing, traceRingBytes } from "../../abi/trace.ts";
import type { DeviceHost } from "../../host/device.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { type EventKind, MACHINE, THREADS, type TraceEvent, VCPU } from "../../host/trace/event.ts";
import { Appliance, makeFolder, removeFolders, until } from "../support/appliance.ts";
import { compileOnce } from "../support/compiled.ts";
import { FsPuppet, HIPRIO } from "../support/fs-puppet.ts";
import { collectHits, compileGuest } from "../support/guest.ts";
import { checkTrace, on, runsOf, TickingClock, trackOf } from "../support/trace.ts";
import { guest } from "../support/wat.ts";

const MIB = 1024 * 1024;
const SITE = "apps/web-server/site";
const image = await compileGuest("test/guest/trace.ts");
const running: Appliance[] = [];

afterAll(async () => {
  for (const appliance of running) await appliance.stop();
  removeFolders();
});

async function boot(options: Partial<MachineOptions> = {}) {
  const events: TraceEvent[] = [];
  const clock = new TickingClock();
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 4 * MIB,
    clock,
    trace: (event) => void events.push(event),
    ...options,
  });
  machine.boot();
  return { machine, clock, events, runs: () => runsOf(events) };
}

const ringOf = (machine: Machine) =>
  machine.memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.trace, true);

describe("threads", () => {
  test("two that alternate have a slice for each of their runs, inside the entry", async () => {
    const { machine, events, runs } = await boot();
    machine.call("begin", 3);
    checkTrace(events);
    const [first, second] = runs().map(({ tid }) => tid) as [number, number];
    expect(second).not.toBe(first);
    expect(runs().map(({ tid }) => tid)).toEqual([first, second, first, second, first, second]);
    // One look at the clock when a thread begins to run, and one when it ends.
    expect(runs().map(({ dur }) => dur)).toEqual([1, 1, 1, 1, 1, 1]);
    const starts = runs().map(({ ts }) => ts);
    expect(starts.map((ts) => ts - (starts[0] as number))).toEqual([0, 2, 4, 6, 8, 10]);
    for (const id of [first, second]) expect(trackOf(events, `${id} thread`)).toHaveLength(3);
    const entries = on(events, MACHINE, VCPU).map(({ name }) => name);
    expect(entries).toEqual(["initialize", "boot", "run", "begin", "run"]);
    collectHits(image, machine);
    machine.dispose();
  });

  test("a machine on the same clock has the same trace", async () => {
    const traces = [1, 2].map(async () => {
      const { machine, clock, events } = await boot();
      machine.call("begin", 5);
      clock.advance(3);
      machine.turn();
      machine.dispose();
      return events;
    });
    const [one, other] = await Promise.all(traces);
    expect(one).toEqual(other);
    expect(one?.length).toBeGreaterThan(15);
  });

  test("a run that ended in a panic is there, to the panic", async () => {
    const { machine, events, runs } = await boot();
    machine.call("beginToFail");
    expect((await machine.exited).kind).toBe("panic");
    checkTrace(events);
    const entry = on(events, MACHINE, VCPU).at(-1) as TraceEvent;
    expect(runs()).toHaveLength(1);
    const [run] = runs() as [TraceEvent];
    expect(run.ts + (run.dur as number)).toBe(entry.ts + (entry.dur as number));
  });

  test("of more switches than the ring holds the oldest are lost, and counted", async () => {
    const { machine, events, runs } = await boot({ budget: 1_000_000 });
    machine.call("begin", 10_000);
    checkTrace(events);
    const lost = 20_000 - TRACE_RECORDS;
    const told = () => events.filter(({ name }) => name === "switches lost");
    expect(runs()).toHaveLength(TRACE_RECORDS);
    expect(told().map(({ args }) => args)).toEqual([{ lost, total: lost }]);
    machine.call("begin", 10_000);
    checkTrace(events);
    expect(runs()).toHaveLength(2 * TRACE_RECORDS);
    expect(told().at(-1)?.args).toEqual({ lost, total: 2 * lost });
    machine.dispose();
  });

  test("a budget that is spent is an entry that ends, and nothing is lost", async () => {
    const { machine, clock, events, runs } = await boot({ budget: 100 });
    machine.call("begin", 1000);
    while (clock.settle() > 0);
    checkTrace(events);
    expect(runs()).toHaveLength(2000);
    expect(events.filter(({ name }) => name === "run").length).toBeGreaterThan(19);
    machine.dispose();
  });

  test("the watchdog does not count the sink's time as the guest's", async () => {
    const presence = new Int32Array(1);
    const seen: number[] = [];
    const trace = () => void seen.push(presence[0] as number);
    const { machine } = await boot({ presence, trace });
    machine.call("begin", 3);
    expect(seen.length).toBeGreaterThan(10);
    expect(new Set(seen)).toEqual(new Set([0]));
    machine.dispose();
  });

  test("a guest without memory for the ring says so and runs without", async () => {
    const lines: string[] = [];
    const console = (line: string) => void lines.push(line);
    const { machine, events, runs } = await boot({ trace: undefined, console });
    machine.call("takeAlmostAll");
    const end = machine.insight.trace((event) => void events.push(event));
    machine.call("begin", 3);
    end();
    expect(lines.join("")).toContain("trace: no memory for the thread switches\n");
    expect(ringOf(machine)).toBe(0);
    expect(runs()).toEqual([]);
    machine.dispose();
  });

  test("TR6: without the option there is no event and no ring, and the guest has all of its memory", async () => {
    const plain = await boot({ trace: undefined });
    const traced = await boot();
    for (const { machine } of [plain, traced]) machine.call("begin", 3);
    expect(plain.events).toEqual([]);
    expect(ringOf(plain.machine)).toBe(0);
    expect(ringOf(traced.machine)).toBeGreaterThan(0);
    const inUse = ({ machine }: typeof plain) => Number(machine.call("inUse"));
    const more = inUse(traced) - inUse(plain);
    expect(more).toBeGreaterThanOrEqual(traceRingBytes());
    expect(more).toBeLessThan(traceRingBytes() + 100);
    for (const { machine } of [plain, traced]) machine.dispose();
  });
});

describe("TR8: a trace that begins while the machine runs", () => {
  test("has the names of what was there before, and ends when it is asked to", async () => {
    const { machine, runs, events } = await boot({ trace: undefined });
    machine.call("begin", 2);
    expect(ringOf(machine)).toBe(0);
    const end = machine.insight.trace((event) => void events.push(event));
    machine.call("begin", 3);
    expect(runs()).toHaveLength(6);
    const names = events.filter(({ ph }) => ph === "M").map(({ args }) => args?.name);
    expect(names.slice(0, 3)).toEqual(["machine", "guest threads", "vCPU"]);
    end();
    end();
    const before = events.length;
    machine.call("begin", 3);
    expect(events).toHaveLength(before);
    checkTrace(events);
    machine.dispose();
  });

  test("again: nothing of the time between is in it, and nothing counts as lost", async () => {
    const { machine, runs, events } = await boot();
    machine.call("begin", 2);
    const others: TraceEvent[] = [];
    const end = machine.insight.trace((event) => void others.push(event));
    expect(others.filter(({ ph }) => ph === "M").length).toBeGreaterThanOrEqual(5); // two threads
    machine.call("begin", 2);
    end();
    machine.call("begin", 2);
    expect(runs()).toHaveLength(12);
    expect(runsOf(others)).toHaveLength(4);
    for (const trace of [events, others]) checkTrace(trace);
    expect(events.some(({ name }) => name === "switches lost")).toBe(false);
    machine.dispose();
  });
});

describe("TR4: a ring that a guest filled with what it liked", () => {
  const RING = 0x8000;
  const NOW = 1_000_000_000;
  const SEVEN = 0x10007; // a thread

  /** A guest that does nothing; the test writes its memory for it. */
  async function hostile() {
    const { machine, clock, events, runs } = await boot({
      image: await guest({}),
      sourceMap: undefined,
      memoryBytes: MIB,
    });
    const { view } = machine.memory;
    const announce = (address: number) =>
      view.setUint32(TIME_PAGE_ADDRESS + TimePage.trace, address, true);
    let written = 0;
    const count = (value: number) => {
      written = value;
      view.setUint32(RING + TraceRing.written, value, true);
    };
    const note = (thread: number, startNs: bigint, endNs: bigint) => {
      const at = RING + TraceRing.records + (written % TRACE_RECORDS) * TraceRecord.sizeof;
      view.setBigUint64(at + TraceRecord.startNs, startNs, true);
      view.setBigUint64(at + TraceRecord.endNs, endNs, true);
      view.setInt32(at + TraceRecord.thread, thread, true);
      count(written + 1);
    };
    announce(RING);
    clock.advance(NOW / 1e6);
    return { machine, clock, events, runs, announce, count, note };
  }

  /** Rejected in this trace, in all. */
  const rejected = (events: readonly TraceEvent[]) =>
    events.filter(({ name }) => name === "switches that cannot be").at(-1)?.args?.total ?? 0;

  test("S3: outside its memory, wherever that is, it is not looked at", async () => {
    const { machine, clock, events, runs, announce } = await hostile();
    const { view } = machine.memory;
    const last = MIB - traceRingBytes();
    const entries = () => events.filter(({ name }) => name === "run").length;
    for (const at of [last + 1, last + 8, MIB - 4, MIB, 0x7fffffff, 0x80000000, 0xffffffff, 0]) {
      if (at > 0 && at <= MIB - 4) view.setUint32(at, TRACE_RECORDS, true);
      announce(at);
      const before = entries();
      machine.turn();
      expect(entries()).toBe(before + 1);
    }
    expect(runs()).toEqual([]);
    expect(rejected(events)).toBe(0);
    announce(last); // the last place where it fits
    machine.memory.bytes(last, traceRingBytes()).fill(0);
    const t = BigInt(clock.now()) + 2000n;
    const record = MIB - TraceRecord.sizeof;
    view.setUint32(last + TraceRing.written, TRACE_RECORDS, true);
    view.setBigUint64(record + TraceRecord.startNs, t, true);
    view.setBigUint64(record + TraceRecord.endNs, t, true);
    view.setInt32(record + TraceRecord.thread, SEVEN, true);
    machine.turn();
    checkTrace(events);
    expect(runs().map(({ tid }) => tid)).toEqual([SEVEN]);
    expect(rejected(events)).toBe(TRACE_RECORDS - 1);
  });

  test("runs before the entry, backwards, in the future or of no thread are not shown", async () => {
    const { machine, clock, events, runs, note } = await hostile();
    // The entry begins two looks from now: one for the time page, and one for the trace.
    const t = BigInt(clock.now()) + 2000n;
    note(SEVEN, t - 1n, t); // began before the entry
    note(SEVEN, t + 5n, t + 4n); // ends before it begins
    note(SEVEN, t, t + 10_000_000n); // ends after the entry
    note(0, t, t);
    note(-1, t, t);
    note(0xffff, t, t); // could be the track of a device
    note(-0x80000000, t, t);
    note(SEVEN, 2n ** 64n - 1n, 2n ** 64n - 1n);
    note(SEVEN, 2n ** 63n, 2n ** 63n + 1n);
    note(0x7fffffff, t + 10n, t + 20n); // as good as any
    note(SEVEN, t + 19n, t + 21n); // while another one ran
    note(SEVEN, t + 20n, 2n ** 64n - 1n); // still runs
    note(SEVEN + 1, t + 21n, t + 22n); // and another one with it
    machine.turn();
    checkTrace(events);
    expect(runs().map(({ tid }) => tid)).toEqual([0x7fffffff, SEVEN]);
    expect(rejected(events)).toBe(11);
  });

  test("a count that goes back or leaps costs one look at the ring, and is reported", async () => {
    const { machine, events, runs, count } = await hostile();
    const looks = [0xffffffff, 5, 4, 0x80000000, 0, 1];
    for (const value of looks) {
      count(value);
      machine.turn();
    }
    checkTrace(events);
    expect(runs()).toEqual([]);
    const lost = events.filter(({ name }) => name === "switches lost");
    expect(lost.map(({ args }) => args?.lost)).toEqual(
      // 5 after 2^32 - 1 is six records on; so is 1 after 0 one.
      [0xffffffff, 0xffffffff, 0x7ffffffc, 0x80000000].map((n) => n - TRACE_RECORDS),
    );
    expect(events.length).toBeLessThan(50);
    expect(rejected(events)).toBeLessThanOrEqual(4 * TRACE_RECORDS + 7);
  });

  test("noise does no harm, and each entry tells no more of it than the ring holds", async () => {
    const { machine, clock, events, count } = await hostile();
    let seed = 1;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) | 0;
      return seed >>> 8;
    };
    const { view } = machine.memory;
    for (let round = 0; round < 20; round++) {
      const before = events.length;
      // Now and then a time that might be, so that not all of it is refused at once.
      const near = clock.now() + 2000;
      for (let at = RING; at < RING + traceRingBytes() - 8; at += 4) {
        const low = random() % 3 === 0 ? near + (random() % 1000) : random() * 256;
        view.setUint32(at, random() % 2 === 0 ? low : 0, true);
      }
      count(random());
      machine.turn();
      expect(events.length - before).toBeLessThanOrEqual(2 * TRACE_RECORDS + 3);
      expect(events.slice(before).map(({ name }) => name)).toContain("run");
    }
    checkTrace(events);
  });

  test("a thread of every number has a track, and the host remembers few of them", async () => {
    const { machine, clock, events, runs, note } = await hostile();
    for (let round = 0; round < 3; round++) {
      const t = BigInt(clock.now()) + 2000n;
      for (let i = 0; i < 6000; i++) note(SEVEN + i, t, t);
      machine.turn();
    }
    checkTrace(events);
    expect(runs()).toHaveLength(18_000);
    const names = events.filter(({ ph, pid }) => ph === "M" && pid === THREADS);
    expect(names).toHaveLength(18_001); // what was forgotten is named again
  });
});

test("file requests are named, also those that fail, have no reply or are malformed", () => {
  const puppet = new FsPuppet(SITE);
  const told: [string, number, object][] = [];
  const trace = {
    isOn: true,
    present: () => 0,
    now: () => 7,
    instant: () => {},
    slice: (what: string, since: number, args: object) => void told.push([what, since, args]),
    took(
      { name, constants }: EventKind,
      since: number,
      _: undefined,
      ...[nodeid, len, reply]: number[]
    ) {
      told.push([name, since, { nodeid, len, reply, ...constants }]);
    },
  };
  puppet.device.attach({ trace, now: () => 0 } as unknown as DeviceHost);
  const init = new Uint8Array(64);
  init.set([7, 0, 0, 0, 38]); // FUSE 7.38
  puppet.request(FuseOpcode.INIT, init);
  puppet.request(FuseOpcode.LOOKUP, new TextEncoder().encode("nothing\0"));
  puppet.request(FuseOpcode.FORGET, new Uint8Array(8), { nodeid: 5, room: 0 });
  puppet.request(4711, new Uint8Array(3), { queue: HIPRIO, nodeid: 2 });
  puppet.raw(new Uint8Array(39));
  puppet.device.dispose();
  expect(told).toEqual([
    ["INIT", 7, { nodeid: 1, len: 104, reply: 64, error: 0 }],
    ["LOOKUP", 7, { nodeid: 1, len: 48, reply: 0, error: -Errno.ENOENT }],
    ["FORGET", 7, { nodeid: 5, len: 48, reply: 0, error: 0 }],
    ["opcode 4711", 7, { nodeid: 2, len: 43, reply: 0, error: -Errno.EINVAL }],
    ["opcode 0", 7, { nodeid: 0, len: 39, reply: 0, error: -Errno.EINVAL }],
  ]);
});

describe("torito --trace", () => {
  const PICTURE = "GET /img/torito.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

  const load = (path: string): TraceEvent[] => {
    const events = JSON.parse(readFileSync(path, "utf8"));
    checkTrace(events);
    return events;
  };

  async function serve(path: string, directory = SITE): Promise<Appliance> {
    const appliance = await Appliance.serve(directory, "--trace", path);
    running.push(appliance);
    return appliance;
  }

  test("a request is there: kicks, interrupts, packets, files and threads", async () => {
    const path = `${makeFolder()}/trace.json`;
    const appliance = await serve(path);
    expect(await appliance.raw(PICTURE)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(await appliance.stop()).toBe(0);
    const events = load(path);
    const vsock = trackOf(events, "vsock");
    const names = vsock.map(({ name }) => name);
    for (const name of ["REQUEST to guest", "RESPONSE from guest", "kick", "interrupt"]) {
      expect(names).toContain(name);
    }
    const question = vsock.findLast(({ name }) => name === "RW to guest");
    expect(question?.args).toMatchObject({ dstPort: 80, len: PICTURE.length });
    const answers = vsock.filter(
      ({ name, args }) => name === "RW from guest" && args?.dstPort === question?.args?.srcPort,
    );
    const bytes = answers.reduce((sum, { args }) => sum + Number(args?.len), 0);
    expect(bytes).toBeGreaterThan(readFileSync(`${SITE}/img/torito.png`).length);
    expect(vsock.find(({ name }) => name === "interrupt")?.args).toEqual({ irq: 5 });
    const site = trackOf(events, "fs site");
    expect(site.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["kick", "INIT", "LOOKUP", "OPEN", "SETUPMAPPING"]),
    );
    const mapped = site.find(({ name }) => name === "SETUPMAPPING");
    expect(mapped).toMatchObject({ ph: "X", args: { error: 0 } });
    const entries = trackOf(events, "vCPU");
    expect(entries.slice(0, 3).map(({ name }) => name)).toEqual(["initialize", "boot", "run"]);
    // Which device is first depends on when the client comes.
    const irqs = entries.filter(({ name }) => name === "interrupt").map(({ args }) => args?.irq);
    expect(irqs).toEqual(expect.arrayContaining([5, 6]));
    expect(new Set(on(events, THREADS).map(({ tid }) => tid)).size).toBeGreaterThan(1);
  });

  test("a second signal leaves a whole file", async () => {
    const folder = makeFolder();
    writeFileSync(`${folder}/large.bin`, Buffer.alloc(32 * MIB));
    const path = `${makeFolder()}/trace.json`;
    const appliance = await serve(path, folder);
    const socket = net.connect(appliance.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => socket.once("readable", resolve));
    appliance.kill("SIGINT");
    await until(() => appliance.stderr.includes("finishing open connections"));
    appliance.kill("SIGINT");
    expect(await appliance.exited).toBe(130);
    socket.destroy();
    expect(trackOf(load(path), "vsock").map(({ name }) => name)).toContain("RW from guest");
  });

  test("a panic leaves a whole file, with the thread that failed", async () => {
    const folder = makeFolder();
    const { wasm, map } = await compileOnce("test/guest/panic.ts", "release");
    writeFileSync(`${folder}/panic.wasm`, wasm);
    writeFileSync(`${folder}/panic.wasm.map`, map);
    const path = `${folder}/trace.json`;
    const appliance = new Appliance(["run", `${folder}/panic.wasm`, "--trace", path]);
    expect(await appliance.exited).toBe(70);
    expect(runsOf(load(path))).toHaveLength(2); // before and after Sleep
  });

  test("a file that cannot be created: 69 and one line, before the guest boots", async () => {
    const path = `${makeFolder()}/no/trace.json`;
    const appliance = new Appliance(["serve", SITE, "--trace", path]);
    expect(await appliance.exited).toBe(69);
    expect(appliance.stdout).toBe("");
    expect(appliance.stderr).toMatch(/^torito: --trace .*\/no\/trace\.json: ENOENT.*\n$/);
    expect(existsSync(path)).toBe(false);
  });

  test.runIf(process.platform === "linux")(
    "a full disk costs the trace, not the machine; it is reported at once, and by the exit code",
    async () => {
      const appliance = await serve("/dev/full");
      for (let i = 0; i < 3; i++) {
        expect(await appliance.raw(PICTURE)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      }
      expect(await appliance.stop()).toBe(69);
      expect(appliance.stderr.match(/error: the trace \/dev\/full ends here/g)).toHaveLength(1);
    },
  );
});
