// The rules of Perfetto's importer for traces in Chrome's JSON, as it documents them. A fault is
// counted as an error there, or would be drawn as something else than was meant.
import type { TraceEvent } from "../../host/trace/event.ts";

const ns = (us: number) => Math.round(us * 1000);
const HEXADECIMAL = /^[0-9a-f]{1,16}$/;
const U32_MAX = 0xffffffff;

/** One line for each fault, at most a hundred. */
export function perfettoFaults(events: readonly TraceEvent[]): string[] {
  const faults: string[] = [];
  const fault = (what: string, event: unknown) => {
    if (faults.length < 100) faults.push(`${what}: ${JSON.stringify(event)}`);
  };
  for (const event of events) checkFields(event, fault);
  checkNames(events, fault);
  checkNesting(events, fault);
  checkFlows(events, fault);
  checkPairs(events, fault);
  return faults;
}

type Fault = (what: string, event: unknown) => void;

function checkFields(event: TraceEvent, fault: Fault): void {
  const { name, ph, ts, dur, pid, tid, s, args = {}, id, bind_id: bound } = event;
  if (typeof name !== "string" || name === "") fault("no name", event);
  if (!["X", "i", "b", "e", "C", "M"].includes(ph)) fault("an unknown phase", event);
  if (!(Number.isFinite(ts) && ts >= 0)) fault("no time", event);
  for (const number of [pid, tid]) {
    if (!(Number.isInteger(number) && number >= 0 && number <= U32_MAX)) fault("no id", event);
  }
  if (ph === "X" && !(Number.isFinite(dur) && (dur as number) >= 0)) fault("no duration", event);
  if (ph !== "X" && dur !== undefined) fault("a duration of what has none", event);
  if (ph === "i" && s !== "t") fault("an instant without a scope", event);
  if (ph === "i" && bound !== undefined) fault("a flow of an instant", event);
  if (bound !== undefined && !HEXADECIMAL.test(bound)) fault("a flow that is no number", event);
  if ((ph === "b" || ph === "e") && !HEXADECIMAL.test(id ?? "")) fault("no id of a pair", event);
  const isCounter = ph === "C";
  if (isCounter && Object.keys(args).length === 0) fault("a counter of nothing", event);
  if (isCounter && Object.values(args).some((one) => !Number.isFinite(one))) {
    fault("a counter that is no number", event);
  }
}

/** Every track has one name, and a thread's id is no other's in the file. */
function checkNames(events: readonly TraceEvent[], fault: Fault): void {
  const named = new Map<string, string>();
  const pidOf = new Map<number, number>();
  for (const event of events) {
    const { ph, name, pid, tid, args } = event;
    if (ph === "M") {
      const text = args?.name;
      const key = `${name} ${pid} ${tid}`;
      if (typeof text !== "string") fault("a name that is none", event);
      else if ((named.get(key) ?? text) !== text) fault("a second name", event);
      else named.set(key, text);
    }
    if (ph !== "X" && ph !== "i") continue;
    if ((pidOf.get(tid) ?? pid) !== pid) fault("a track of two processes", event);
    pidOf.set(tid, pid);
    if (!named.has(`thread_name ${pid} ${tid}`)) fault("a track without a name", event);
  }
}

/** Slices of a track lie in each other or side by side. */
function checkNesting(events: readonly TraceEvent[], fault: Fault): void {
  const tracks = new Map<string, TraceEvent[]>();
  for (const event of events) {
    if (event.ph !== "X") continue;
    const key = `${event.pid} ${event.tid}`;
    const track = tracks.get(key) ?? [];
    track.push(event);
    tracks.set(key, track);
  }
  for (const track of tracks.values()) {
    const sorted = track.toSorted((a, b) => ns(a.ts) - ns(b.ts) || ns(b.dur ?? 0) - ns(a.dur ?? 0));
    const open: number[] = []; // ends of the slices around, outermost first
    for (const event of sorted) {
      const [start, end] = [ns(event.ts), ns(event.ts) + ns(event.dur ?? 0)];
      while (open.length > 0 && (open.at(-1) as number) <= start) open.pop();
      const around = open.at(-1);
      if (around !== undefined && end > around) fault("slices that cross", event);
      open.push(end);
    }
  }
}

/** A flow begins once, before its steps. */
function checkFlows(events: readonly TraceEvent[], fault: Fault): void {
  const begun = new Set<string>();
  const sorted = events
    .filter(({ bind_id: id }) => id !== undefined)
    .toSorted((a, b) => a.ts - b.ts);
  for (const event of sorted) {
    const id = event.bind_id as string;
    const { flow_in: isIn = false, flow_out: isOut = false } = event;
    if (!isIn && !isOut) fault("a flow that goes nowhere", event);
    if (isIn && !begun.has(id)) fault("a flow that has not begun", event);
    if (!isIn && begun.has(id)) fault("a flow that begins twice", event);
    begun.add(id);
  }
}

/** Each beginning has its end, which is not before it. */
function checkPairs(events: readonly TraceEvent[], fault: Fault): void {
  const open = new Map<string, TraceEvent>();
  for (const event of events) {
    const key = `${event.cat} ${event.id} ${event.name}`;
    if (event.ph === "b") {
      if (open.has(key)) fault("a pair that begins twice", event);
      open.set(key, event);
    } else if (event.ph === "e") {
      const begin = open.get(key);
      if (begin === undefined) fault("an end without a beginning", event);
      else if (ns(event.ts) < ns(begin.ts)) fault("an end before its beginning", event);
      open.delete(key);
    }
  }
  for (const event of open.values()) fault("a beginning without an end", event);
}
