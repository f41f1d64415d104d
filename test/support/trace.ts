// Invariants of every trace, whatever the guest did.
import { expect } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { MACHINE, THREADS, type TraceEvent, VCPU } from "../../host/trace/event.ts";
import { perfettoFaults } from "./perfetto.ts";

/** Every look at it takes a microsecond. */
export class TickingClock extends ManualClock {
  #lookedNs = 0;

  override now(): number {
    this.#lookedNs += 1000;
    return super.now() + this.#lookedNs;
  }
}

const ns = (us: number) => Math.round(us * 1000);
const startOf = ({ ts }: TraceEvent) => ns(ts);
const endOf = ({ ts, dur = 0 }: TraceEvent) => ns(ts) + ns(dur);

const isOnTrack = ({ ph }: TraceEvent) => ph === "X" || ph === "i";

/** Slices and instants, of one track or, without `tid`, of a group of them. */
export function on(events: readonly TraceEvent[], pid: number, tid?: number): TraceEvent[] {
  return events.filter(
    (one) => isOnTrack(one) && one.pid === pid && (tid === undefined || one.tid === tid),
  );
}

/** Runs of the guest's threads, without the waits between them. */
export function runsOf(events: readonly TraceEvent[]): TraceEvent[] {
  return on(events, THREADS).filter(({ cat }) => cat !== "wait");
}

/** The track of that name. */
export function trackOf(events: readonly TraceEvent[], name: string): TraceEvent[] {
  const meta = events.find((one) => one.name === "thread_name" && one.args?.name === name);
  if (meta === undefined) throw new Error(`no track is called ${name}`);
  return on(events, meta.pid, meta.tid);
}

/** Fields, order on each track, slices that do not overlap, threads inside entries. */
export function checkTrace(events: readonly TraceEvent[]): void {
  const last = new Map<string, TraceEvent>();
  const wrong: string[] = [];
  for (const event of events) {
    const { name, ph, ts, pid, tid, dur } = event;
    const numbers = [ts, pid, tid, ph === "X" ? dur : 0];
    const whole = typeof name === "string" && ["X", "i", "b", "e", "C", "M"].includes(ph);
    if (!whole || !numbers.every((one) => Number.isFinite(one) && (one as number) >= 0)) {
      wrong.push(`fields: ${JSON.stringify(event)}`);
    }
    if (!isOnTrack(event)) continue;
    const track = `${pid} ${tid}`;
    const before = last.get(track);
    if (before !== undefined && startOf(event) < startOf(before)) {
      wrong.push(`back in time: ${JSON.stringify([before, event])}`);
    }
    if (before?.ph === "X" && startOf(event) < endOf(before)) {
      wrong.push(`overlap: ${JSON.stringify([before, event])}`);
    }
    last.set(track, event);
  }
  const entries = on(events, MACHINE, VCPU).filter(({ ph }) => ph === "X");
  let at = 0;
  for (const run of runsOf(events)) {
    while (at < entries.length && endOf(entries[at] as TraceEvent) < endOf(run)) at++;
    const entry = entries[at];
    if (entry === undefined || startOf(entry) > startOf(run)) {
      wrong.push(`outside of every entry: ${JSON.stringify(run)}`);
    }
  }
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(perfettoFaults(events)).toEqual([]);
}
