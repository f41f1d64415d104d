// The threads of a guest, read from its memory.
import { TraceWait } from "../../abi/trace.ts";
import type { GuestReader } from "./guest-reader.ts";
import { stateName, THREAD_STATES } from "./guest-states.ts";
import { objectsOf } from "./handles.ts";
import type { Layout } from "./layout.ts";
import { describeWait } from "./waits.ts";

/** Listed at most; the rest is counted. */
export const LISTED_MAX = 500;
/** Queues of one thread that are named. */
const NODES_MAX = 4;
const WAITING = 2;

export interface ThreadView {
  readonly id: number;
  /** The function that it began with. */
  readonly name: string;
  readonly state: string;
  /** "": it does not wait. */
  readonly waitsFor: string;
  /** When it is woken at the latest, in nanoseconds of the machine's clock; null: never. */
  readonly deadlineNs: number | null;
  /** Bytes of its save area that hold its frames, and the size of the area; it does not run. */
  readonly savedBytes: number;
  readonly saveBytes: number;
}

export interface ThreadsView {
  readonly total: number;
  readonly listed: readonly ThreadView[];
}

export function readThreads(
  reader: GuestReader,
  layout: Layout,
  nameOf: (entry: number) => string | null,
): ThreadsView {
  const { total, first } = objectsOf(reader, layout, layout.threads, LISTED_MAX);
  return { total, listed: first.map((at) => readThread(reader, layout, at, nameOf)) };
}

function readThread(
  reader: GuestReader,
  layout: Layout,
  at: number,
  nameOf: (entry: number) => string | null,
): ThreadView {
  const { thread, timer } = layout;
  const state = reader.u32(at + thread.state);
  const entry = reader.u32(at + thread.entry);
  const base = reader.u32(at + thread.base);
  const hasTimer = reader.u32(at + thread.timer + timer.place) !== 0;
  return {
    id: reader.i32(at + thread.id),
    name: nameOf(entry) ?? `function ${entry}`,
    state: stateName(THREAD_STATES, state),
    waitsFor: state === WAITING ? waitsOf(reader, layout, at) : "",
    deadlineNs: hasTimer ? reader.u64(at + thread.timer + timer.deadlineNs) : null,
    savedBytes: Math.max(0, reader.u32(at + thread.sp) - base),
    saveBytes: Math.max(0, reader.u32(at + thread.limit) - base),
  };
}

/** Of each queue that it is in: a thread may select on several. */
function waitsOf(reader: GuestReader, layout: Layout, at: number): string {
  const { thread, node } = layout;
  const nodes = reader.u32(at + thread.nodes);
  const count = Math.min(reader.u32(at + thread.nodeCount), NODES_MAX);
  const waits = new Set<string>();
  for (let i = 0; i < count; i++) {
    const queue = reader.u32(nodes + i * node.bytes + node.list);
    if (queue !== 0) waits.add(describeWait(reader, layout, queue));
  }
  if (waits.size === 0) waits.add(describeWait(reader, layout, TraceWait.Time));
  return [...waits].join(", ");
}
