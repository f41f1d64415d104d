// Events that are written by their kinds: the file has what an object of the same event would be.
import { expect, test } from "vitest";
import {
  EventKind,
  type Flow,
  flowId,
  MACHINE,
  THREADS,
  type TraceEvent,
} from "../../host/trace/event.ts";
import { JsonTrace } from "../../host/trace/json-trace.ts";

type Written = Parameters<NonNullable<JsonTrace["sink"]["writer"]>["put"]>;

const begins: Flow = -0x1f00a1;
const goesOn: Flow = 0x123456789abcd;
const name = 'RW "to" guest\n';
const KINDS = [
  new EventKind("X", MACHINE, name, ["srcPort", "dstPort", "len"]),
  new EventKind("i", MACHINE, "kick", [], { constants: { queue: 2, name: "tx" } }),
  new EventKind("i", MACHINE, "interrupt", ["irq"], { constants: { of: "vsock" } }),
  new EventKind("X", THREADS, "waits: time", [], { cat: "wait" }),
  new EventKind("b", MACHINE, "GET 200", [], { cat: "request" }),
  new EventKind("e", MACHINE, "GET 200", [], { cat: "request" }),
  new EventKind("C", THREADS, "heap", ["bytes"]),
];
const [PACKET = KINDS[0] as EventKind] = KINDS;

/** The event as an object. */
function objectOf([kind, tid, sinceNs, durNs, flow, ...values]: Written): TraceEvent {
  const { ph, pid, cat, keys, constants } = kind;
  const args = {
    ...constants,
    ...Object.fromEntries(keys.map((key, i) => [key, values[i] as number])),
  };
  const isSlice = ph === "X";
  return {
    ...{ name: kind.name, ph, ts: sinceNs / 1000, pid, tid },
    ...(isSlice && { dur: durNs / 1000 }),
    ...(cat !== undefined && { cat }),
    ...(ph === "i" && { s: "t" as const }),
    ...(flow !== 0 && !isSlice && { id: flowId(flow) }),
    ...(flow !== 0 && isSlice && { bind_id: flowId(flow), flow_in: flow > 0, flow_out: true }),
    ...(Object.keys(args).length > 0 && { args }),
  };
}

/** The file's events, and how many of them were put by the writer. */
function fileOf(events: readonly Written[]) {
  const parts: Buffer[] = [];
  const trace = new JsonTrace((bytes) => void parts.push(Buffer.from(bytes)));
  const { writer } = trace.sink;
  let put = 0;
  for (const event of events) {
    if (writer?.put(...event) === true) put++;
    else trace.sink(objectOf(event));
  }
  trace.end();
  expect(writer?.put(...(events[0] as Written))).toBe(true); // and nothing comes of it
  return { events: JSON.parse(Buffer.concat(parts).toString()), put };
}

test("of all kinds, with numbers that grow and shrink, and with any flow", () => {
  const numbers = [0, 9, 10, 999, 2_147_483_646, 7, 1_000_000, 999_999, 65_536, 1_073_741_828, 1];
  const flows = [0, begins, goesOn, 1, -begins, begins];
  const events = numbers.flatMap((n) =>
    flows.flatMap((flow) =>
      KINDS.map((kind): Written => [kind, n % 65_536, n, n, flow, n, n + 1, n % 10]),
    ),
  );
  const { events: found, put } = fileOf(events);
  expect(found).toEqual(events.map(objectOf));
  expect(put).toBe(events.length);
});

test("at times of months, that grow by nanoseconds and by milliseconds, and fall to zero", () => {
  const times = [0, 1, 999_999, 1_000_000, 1_000_001, 2_000_000, 1e13, 1e13 + 1, 1e14 + 999_999];
  const events = [...times, ...times.toReversed(), 1e15 - 1, 0].flatMap((ns): Written[] => [
    [PACKET, 1, ns, ns, 0, 1, 2, 3],
    [PACKET, 1, ns + 1, 1, goesOn, 1, 2, 3],
  ]);
  const { events: found } = fileOf(events);
  expect(found).toEqual(events.map(objectOf));
});

test("by names of any characters, and longer than the buffer", () => {
  const kinds = ["\u00fc \u2192 \ud83d\ude00", '"\\', "n".repeat(70_000)].map(
    (name) => new EventKind("X", MACHINE, name, ["a"], { constants: { of: "\u00e4" } }),
  );
  const events = [7, 70_000, 7].flatMap((n) =>
    kinds.map((kind): Written => [kind, 1, n, n, goesOn, n, 0, 0]),
  );
  const { events: found, put } = fileOf(events);
  expect(found).toEqual(events.map(objectOf));
  expect(put).toBe(events.length);
});

test("more than the buffer holds, and what it cannot write, go to the sink", () => {
  const many = Array.from(
    { length: 2000 },
    (_, i): Written => [PACKET, 2, i * 1000, i, goesOn, i, 80, 512],
  );
  const odd: Written[] = [
    [PACKET, 2, -1, 0, 0, 1, 2, 3],
    [PACKET, 2, 1, 1e15, 0, 1, 2, 3],
    [PACKET, 2, 1, 0, 0, -5, 2, 3],
    [PACKET, 2, 1, 0, 0, 2 ** 31, 2, 3],
    [PACKET, 2, 1, 0, 0, 1, 2, 1e14],
    [PACKET, 2, 1, 0, 0, 1, 2.5, 3],
    [PACKET, -7, 1, 0, 0, 1, 2, 3],
  ];
  const { events, put } = fileOf([...many, ...odd]);
  expect(events).toEqual([...many, ...odd].map(objectOf));
  expect(put).toBeLessThanOrEqual(many.length);
  expect(put).toBeGreaterThan(many.length - 20);
});
