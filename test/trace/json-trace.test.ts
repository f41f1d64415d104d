// The file of a trace.
import { expect, test, vi } from "vitest";
import { EventKind, MACHINE, type TraceEvent } from "../../host/trace/event.ts";
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

test.each([1, 1000, 100_000])("may be ended by its writer, after %d bytes", (bytesMax) => {
  const kind = new EventKind("i", MACHINE, "kick");
  const put = (trace: JsonTrace, n: number) =>
    trace.sink.writer?.put(kind, 1, n, 0, 0, 0, 0, 0) === true;
  for (const isWriter of [false, true]) {
    let text = "";
    const trace = new JsonTrace((bytes) => {
      text += Buffer.from(bytes).toString();
      if (text.length >= bytesMax) trace.end();
    });
    for (let n = 0; n < 5000; n++) {
      if (!isWriter || !put(trace, n * 1000)) trace.sink({ ...event, ts: n });
    }
    trace.end();
    const times = JSON.parse(text).map(({ ts }: TraceEvent) => ts);
    expect(times.length).toBeGreaterThan(0);
    expect(times).toEqual(times.map((_: number, i: number) => i)); // each once
  }
});
