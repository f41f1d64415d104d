// Events that are written by their kinds: the file has what an object of the same event would be.
import { expect, test } from "vitest";
import {
  EventKind,
  type FlowStep,
  MACHINE,
  THREADS,
  type TraceEvent,
} from "../../host/trace/event.ts";
import { JsonTrace } from "../../host/trace/json-trace.ts";

type Written = Parameters<NonNullable<JsonTrace["sink"]["writer"]>["put"]>;

const begins: FlowStep = { id: "1f00a1", begins: true };
const goesOn: FlowStep = { id: "123456789abcdef0", begins: false };
const name = 'RW "to" guest\n';
const KINDS = [
  new EventKind("X", MACHINE, name, ["srcPort", "dstPort", "len"]),
  new EventKind("i", MACHINE, "kick", [], { constants: { queue: 2, name: "tx" } }),
  new EventKind("i", MACHINE, "interrupt", ["irq"], { constants: { of: "vsock" } }),
  new EventKind("X", THREADS, "waits: time", [], { cat: "wait" }),
  new EventKind("b", MACHINE, "GET 200", [], { cat: "request" }),
  new EventKind("e", MACHINE, "GET 200", [], { cat: "request" }),
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
    ...(flow && !isSlice && { id: flow.id }),
    ...(flow && isSlice && { bind_id: flow.id, flow_in: !flow.begins, flow_out: true }),
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
  const numbers = [0, 9, 10, 4_294_967_295, 7, 1e14 + 1, 2_147_483_648, 1];
  const flows = [undefined, begins, goesOn, begins];
  const events = numbers.flatMap((n) =>
    flows.flatMap((flow) =>
      KINDS.map((kind): Written => [kind, n % 65_536, n, n, flow, n, n + 1, n % 10]),
    ),
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
    [PACKET, 2, -1, 0, undefined, 1, 2, 3],
    [PACKET, 2, 1, 1e15, undefined, 1, 2, 3],
    [PACKET, 2, 1, 0, undefined, -5, 2, 3],
    [PACKET, 2, 1, 0, undefined, 1, 2.5, 3],
    [PACKET, -7, 1, 0, undefined, 1, 2, 3],
  ];
  const { events, put } = fileOf([...many, ...odd]);
  expect(events).toEqual([...many, ...odd].map(objectOf));
  expect(put).toBeLessThanOrEqual(many.length);
  expect(put).toBeGreaterThan(many.length - 20);
});
