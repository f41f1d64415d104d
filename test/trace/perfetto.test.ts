// TR: traces as Perfetto takes them, and what is in them.
import { mkdirSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  flowId,
  MACHINE,
  THREADS,
  type TraceEvent,
  type TraceSink,
  VCPU,
} from "../../host/trace/event.ts";
import { Flows } from "../../host/trace/flows.ts";
import { JsonTrace } from "../../host/trace/json-trace.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { perfettoFaults } from "../support/perfetto.ts";
import { Site } from "../support/snapshot-site.ts";
import { TickingClock } from "../support/trace.ts";

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  writeFileSync(`${directory}/index.html`, "home");
  writeFileSync(`${directory}/large.bin`, "x".repeat(1 << 20));
  writeFileSync(`${directory}/\u00fcmlaut "quoted".txt`, "text");
});
afterAll(removeFolders);

/** A clock on which everything takes some time, for order is by time. */
async function traced(use: (site: Site) => void, names = false): Promise<TraceEvent[]> {
  const events: TraceEvent[] = [];
  await tracedBy((event) => void events.push(event), use, names);
  return events;
}

async function tracedBy(sink: TraceSink, use: (site: Site) => void, names = false) {
  const clock = new TickingClock();
  const site = await Site.boot(directory, { manual: clock as never, clock });
  const end = site.machine.insight.trace(sink, { names });
  use(site);
  end();
  site.machine.dispose();
}

/** A few names, so that events are alike; times in whole nanoseconds. */
const time = fc.oneof(
  fc.integer({ min: 0, max: 5000 }).map((ns) => ns / 1000),
  fc.integer({ min: 0, max: 2 ** 50 }).map((ns) => ns / 1000),
);
const number = fc.oneof(
  fc.nat(20),
  fc.maxSafeNat(),
  fc.constantFrom(-22, 0, 1.5, 1e15, 1e15 - 1, 2 ** 31, 2 ** 31 - 1, 1e9, 1e300),
);
const args = fc.dictionary(
  fc.constantFrom("a", "b", '"c\n'),
  fc.oneof(number, fc.constantFrom("", "tx", "\ud800", "\u00fc\\")),
);
const anyEvent: fc.Arbitrary<TraceEvent> = fc
  .record(
    {
      name: fc.constantFrom("run", "kick", 'waits: "\u00fc"'),
      ph: fc.constantFrom("X", "i", "b", "e", "C", "M"),
      ts: time,
      pid: fc.constantFrom(1, 2),
      tid: fc.oneof(fc.nat(3), fc.nat(2 ** 31), fc.constant(2 ** 32 - 1)),
      dur: time,
      cat: fc.constantFrom("wait", "request"),
      s: fc.constant("t"),
      args,
    },
    { requiredKeys: ["name", "ph", "ts", "pid", "tid"] },
  )
  .chain((event) =>
    fc
      .tuple(
        fc.constantFrom("none", "id", "in", "out"),
        fc.nat(2 ** 40).map((id) => id.toString(16)),
      )
      .map(([kind, id]): TraceEvent => {
        if (kind === "none") return event;
        if (kind === "id") return { ...event, id };
        return { ...event, bind_id: id, flow_in: kind === "in", flow_out: true };
      }),
  );

const steps = (events: readonly TraceEvent[], id: string) =>
  events.filter(({ bind_id: bound }) => bound === id).toSorted((a, b) => a.ts - b.ts);

describe("TR1: the checker finds", () => {
  const name = {
    name: "thread_name",
    ph: "M",
    ts: 0,
    pid: 1,
    tid: 1,
    args: { name: "one" },
  } as const;
  const slice = { name: "a", ph: "X", ts: 1, dur: 2, pid: 1, tid: 1 } as const;
  const pair = { name: "r", cat: "c", ph: "b", ts: 1, pid: 1, tid: 1, id: "1" } as const;

  test.each<[string, readonly object[]]>([
    ["no name", [{ ...slice, name: "" }]],
    ["an unknown phase", [{ ...slice, ph: "Z" }]],
    ["no time", [{ ...slice, ts: Number.NaN }]],
    ["no time", [{ ...slice, ts: -1 }]],
    ["no id", [{ ...slice, tid: 2 ** 32 }]],
    ["no duration", [{ ...slice, dur: undefined }]],
    ["no duration", [{ ...slice, dur: -1 }]],
    ["an instant without a scope", [{ ...slice, ph: "i", dur: undefined }]],
    ["a flow of an instant", [{ ...slice, ph: "i", dur: undefined, s: "t", bind_id: "1" }]],
    ["a flow that is no number", [{ ...slice, bind_id: "one", flow_out: true }]],
    ["a counter of nothing", [{ ...slice, ph: "C", dur: undefined }]],
    ["a counter that is no number", [{ ...slice, ph: "C", dur: undefined, args: { a: "b" } }]],
    ["a second name", [{ ...name, args: { name: "two" } }]],
    ["a track without a name", [{ ...slice, tid: 2 }]],
    ["a track of two processes", [slice, { ...slice, ts: 9, pid: 2 }]],
    ["slices that cross", [slice, { ...slice, ts: 2 }]],
    ["a flow that has not begun", [{ ...slice, bind_id: "1", flow_in: true }]],
    ["a flow that goes nowhere", [{ ...slice, bind_id: "1" }]],
    [
      "a flow that begins twice",
      [0, 5].map((ts) => ({ ...slice, ts, bind_id: "1", flow_out: true })),
    ],
    ["a pair that begins twice", [pair, pair, { ...pair, ph: "e" }]],
    ["an end without a beginning", [{ ...pair, ph: "e" }]],
    ["an end before its beginning", [pair, { ...pair, ph: "e", ts: 0 }]],
    ["a beginning without an end", [pair]],
  ])("%s", (fault, wrong) => {
    const faults = perfettoFaults([name, ...wrong] as TraceEvent[]);
    expect(
      faults.some((one) => one.startsWith(`${fault}:`)),
      faults.join("\n"),
    ).toBe(true);
  });

  test("nothing in a right one", () => {
    const inner = { ...slice, ts: 1, dur: 1, bind_id: "a", flow_out: true };
    const next = { ...slice, ts: 3, bind_id: "a", flow_in: true, flow_out: true };
    const right = [name, slice, inner, next, pair, { ...pair, ph: "e", ts: 2 }];
    expect(perfettoFaults(right as TraceEvent[])).toEqual([]);
  });
});

describe("a site's trace", () => {
  test("TR1: is one that Perfetto takes, TR5: on which time goes on", async () => {
    const events = await traced((site) => {
      for (const path of ["/", "/large.bin", "/none", "/"]) site.get(path);
      const kept = site.connect();
      for (const path of ["/", "/large.bin", "/none"]) kept.get(path);
      site.clock.advance(30_000);
      site.settle();
    });
    expect(events.length).toBeGreaterThan(200);
    expect(perfettoFaults(events)).toEqual([]);
  });

  test("TR3: one flow touches packet in, a thread, LOOKUP, OPEN, READ and packet out, in order", async () => {
    const events = await traced((site) => site.get("/large.bin"));
    const first = events.find(({ flow_in: isIn }) => isIn === false) as TraceEvent;
    const names = steps(events, first.bind_id as string).map(({ name }) => name);
    expect(names[0]).toBe("RW to guest");
    expect(names[1]).toBe("apps/web-server/connection/serveConnection");
    const order = ["LOOKUP", "OPEN", "READ", "RW from guest"].map((name) => names.indexOf(name));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order.every((place) => place > 1)).toBe(true);
    expect(names.at(-1)).toMatch(/RW from guest|serveConnection/);
  });

  test("TR3: each request of a kept connection has a flow of its own, and a line that spans it", async () => {
    const events = await traced((site) => {
      const client = site.connect();
      for (const path of ["/", "/large.bin", "/none"]) client.get(path);
      client.events.closed();
      site.settle();
    });
    const flows = new Set(events.flatMap(({ bind_id: id }) => (id === undefined ? [] : [id])));
    expect([...flows]).toEqual(["10001", "10002", "10003"]);
    const spans = events.filter(({ ph }) => ph === "b");
    expect(spans.map(({ name, id }) => [name, id])).toEqual([
      ["GET 200", "10001"],
      ["GET 200", "10002"],
      ["GET 404", "10003"],
    ]);
  });

  test("says what threads wait for, between their runs", async () => {
    const events = await traced((site) => {
      const client = site.connect();
      client.get("/");
      site.clock.advance(10);
      client.get("/");
    });
    const waits = events.filter(({ cat }) => cat === "wait").map(({ name }) => name);
    expect(waits).toContain("waits: socket 80 to read");
    const ports = events.flatMap(({ args }) => args?.remotePort ?? []);
    expect(ports).toContain(events.find(({ name }) => name === "RW to guest")?.args?.srcPort);
  });

  test("TR7: shows paths when asked to, whatever is in them, and the file is JSON", async () => {
    const use = (site: Site) => {
      const client = site.connect();
      for (const path of ["/%C3%BCmlaut%20%22quoted%22.txt", '/"\\\u00ff\ud800', "/\u0001"]) {
        client.get(path);
      }
      client.events.closed();
      site.settle();
    };
    const [without, paths] = [await traced(use), await traced(use, true)];
    const titles = (events: TraceEvent[]) =>
      events.filter(({ ph }) => ph === "b").map(({ name }) => name);
    expect(titles(without)[0]).toBe("GET 200");
    expect(titles(paths)[0]).toBe("GET /%C3%BCmlaut%20%22quoted%22.txt 200");
    const parts: Buffer[] = [];
    const file = new JsonTrace((bytes) => void parts.push(Buffer.from(bytes)));
    for (const event of paths) file.sink(event);
    file.end();
    const text = Buffer.concat(parts).toString();
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(paths)));
    expect(/[\ud800-\udfff]/.test(text.normalize())).toBe(false);
  });

  test("TR7: names of files are for those who want them, and for nobody else", async () => {
    const named: TraceEvent[] = [];
    const plain = await traced((site) => {
      const { insight } = site.machine;
      const end = insight.trace((event) => void named.push(event), { names: true });
      site.get("/%C3%BCmlaut%20%22quoted%22.txt");
      end();
      site.get("/large.bin");
    });
    const files = (events: TraceEvent[]) =>
      events.flatMap(({ name, args }) =>
        args?.file === undefined ? [] : [`${name} ${args.file}`],
      );
    const path = '/\u00fcmlaut "quoted".txt';
    expect(files(named)).toEqual(expect.arrayContaining([`LOOKUP ${path}`, `OPEN ${path}`]));
    expect(named.map(({ name }) => name)).toContain("GET /%C3%BCmlaut%20%22quoted%22.txt 200");
    expect(JSON.stringify(plain)).not.toMatch(/mlaut|large/);
    expect(perfettoFaults(named)).toEqual([]);
  });

  test("TR7: a path that is too long loses its beginning", async () => {
    mkdirSync(`${directory}/${"d".repeat(150)}`);
    writeFileSync(`${directory}/${"d".repeat(150)}/${"e".repeat(150)}`, "");
    const events = await traced((site) => {
      site.get(`/${"d".repeat(150)}/${"e".repeat(150)}`);
    }, true);
    const files = events.map(({ args }) => args?.file ?? "");
    expect(files).toContain(`${"d".repeat(49)}/${"e".repeat(150)}`);
  });

  test("TR3: a connection of more requests than its ids are for gets others", () => {
    const flows = new Flows(() => {});
    const first = { source: new Uint8Array(0), at: 0, end: 0 };
    const ids = new Set<string>();
    for (let i = 0; i < 70_000; i++) {
      const flow = flows.toGuest(i % 1000 === 999 ? 2 : 1, first, 0, 0);
      expect(flow).toBeLessThan(0);
      ids.add(flowId(flow));
      flows.fromGuest(i % 1000 === 999 ? 2 : 1, first, 0, 0);
    }
    expect(ids.size).toBe(70_000);
  });

  test("TR3: a trace that begins during an exchange has no step of it", async () => {
    const later: TraceEvent[] = [];
    const first = await traced((site) => {
      const [kept, large] = [site.connect(), site.connect()];
      kept.get("/");
      large.get("/none");
      const { insight } = site.machine;
      const end = insight.trace((event) => void later.push({ ...event }));
      kept.events.end();
      site.settle();
      large.get("/");
      end();
    });
    expect(perfettoFaults(first)).toEqual([]);
    expect(perfettoFaults(later)).toEqual([]);
    const steps = (events: TraceEvent[]) => events.filter(({ bind_id }) => bind_id !== undefined);
    expect(steps(later).length).toBeGreaterThan(2); // of what began then
    expect(steps(first).length).toBeGreaterThan(steps(later).length);
  });

  test("TR3: machines that follow each other in a file share no flow", async () => {
    const both: TraceEvent[] = [];
    const sink: TraceSink = (event) => void both.push(event);
    for (let machine = 0; machine < 2; machine++) await tracedBy(sink, (site) => site.get("/"));
    const begun = both.filter(({ flow_in }) => flow_in === false).map(({ bind_id }) => bind_id);
    expect(begun).toHaveLength(2);
    expect(new Set(begun).size).toBe(2);
  });

  test("TR2: a file that is cut after any event, or any write, can be loaded", async () => {
    const parts: string[] = [];
    const file = new JsonTrace((bytes) => void parts.push(Buffer.from(bytes).toString()));
    const events = await traced((site) => site.get("/"));
    vi.useFakeTimers();
    for (const event of events) {
      file.sink(event);
      if (event.ph === "i") vi.advanceTimersByTime(100);
    }
    vi.useRealTimers();
    const text = parts.join("");
    for (let at = text.indexOf(",\n"); at > 0; at = text.indexOf(",\n", at + 1)) {
      expect(Array.isArray(JSON.parse(`${text.slice(0, at)}]`))).toBe(true);
    }
    expect(parts.length).toBeGreaterThan(5);
    for (const n of parts.keys()) {
      expect(Array.isArray(JSON.parse(`${parts.slice(0, n + 1).join("")}]`))).toBe(true);
    }
  });

  test("TR2: the file has the events as they were, with any numbers and names", () => {
    const property = fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
      const parts: Buffer[] = [];
      const file = new JsonTrace((bytes) => void parts.push(Buffer.from(bytes)));
      for (const event of events) file.sink(event);
      file.end();
      const text = Buffer.concat(parts).toString();
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(events)));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("TR2: a file has what others get, also when it is alone and events are lent", async () => {
    const use = (site: Site) => {
      for (const path of ["/", "/large.bin", "/none"]) site.get(path);
    };
    const texts: string[] = [];
    const beside = await traced((site) => {
      const file = new JsonTrace((bytes) => void texts.push(Buffer.from(bytes).toString()));
      const end = site.machine.insight.trace(file.sink);
      use(site);
      end();
      file.end();
    });
    const alone: string[] = [];
    const file = new JsonTrace((bytes) => void alone.push(Buffer.from(bytes).toString()));
    await tracedBy(file.sink, use);
    file.end();
    const titles = JSON.parse(texts.join("")).filter(({ ph }: TraceEvent) => ph === "M").length;
    expect(titles).toBeGreaterThan(4);
    const later = (events: TraceEvent[]) => events.filter(({ ph }) => ph !== "M");
    const expected = later(JSON.parse(JSON.stringify(beside)));
    expect(later(JSON.parse(texts.join("")))).toEqual(expected);
    expect(later(JSON.parse(alone.join("")))).toEqual(expected);
  });

  test("TR2: an event that is longer than the buffer is whole, and in its place", () => {
    const one: TraceEvent = { name: "a", ph: "X", ts: 1, dur: 2, pid: 1, tid: 1 };
    const events = [one, { ...one, name: "\u00fc".repeat(50_000) }, { ...one, tid: 2 }];
    const parts: Buffer[] = [];
    const file = new JsonTrace((bytes) => void parts.push(Buffer.from(bytes)));
    for (const event of [...events, ...events]) file.sink(event);
    file.end();
    expect(JSON.parse(Buffer.concat(parts).toString())).toEqual([...events, ...events]);
  });

  test("has counters of the guest, when they have changed", async () => {
    const events = await traced((site) => {
      site.connect();
      site.clock.advance(5);
      site.connect();
    });
    const counters = events.filter(({ ph }) => ph === "C");
    expect(new Set(counters.map(({ name }) => name))).toEqual(new Set(["threads", "heap"]));
    const values = counters.map(({ name, args }) => JSON.stringify([name, args]));
    expect(values.length).toBeGreaterThan(2);
    const pairs = values.filter((_, i) => i % 2 === 0).map((one, i) => one + values[2 * i + 1]);
    for (const [i, pair] of pairs.entries()) expect(pair).not.toBe(pairs[i - 1]);
  });

  test("entries, threads and devices have tracks of their own", async () => {
    const events = await traced((site) => site.get("/"));
    const tracks = new Set(
      events.filter(({ ph }) => ph === "X").map(({ pid, tid }) => `${pid} ${tid}`),
    );
    expect(tracks).toContain(`${MACHINE} ${VCPU}`);
    expect([...tracks].some((one) => one.startsWith(`${THREADS} `))).toBe(true);
  });
});
