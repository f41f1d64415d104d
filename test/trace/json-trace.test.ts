// The file of a trace.
import { expect, test, vi } from "vitest";
import type { TraceEvent } from "../../host/trace/event.ts";
import { JsonTrace } from "../../host/trace/json-trace.ts";

const event: TraceEvent = { name: "x", ph: "i", ts: 1.5, pid: 1, tid: 1, s: "t" };

function open() {
  const writes: string[] = [];
  const trace = new JsonTrace((bytes) => void writes.push(Buffer.from(bytes).toString()));
  return { trace, writes };
}

test("is an array that can be closed after every write", () => {
  vi.useFakeTimers();
  const { trace, writes } = open();
  for (const name of ["a", '"b"\n', "c"]) {
    trace.sink({ ...event, name });
    vi.advanceTimersByTime(100);
  }
  vi.useRealTimers();
  for (let n = 1; n <= 3; n++) {
    expect(JSON.parse(`${writes.slice(0, n).join("")}]`)).toHaveLength(n);
  }
  trace.end();
  trace.end();
  trace.sink(event);
  const names = JSON.parse(writes.join("")).map((one: TraceEvent) => one.name);
  expect(names).toEqual(["a", '"b"\n', "c"]);
});

test("without events is an empty array", () => {
  const { trace, writes } = open();
  trace.end();
  expect(JSON.parse(writes.join(""))).toEqual([]);
});
