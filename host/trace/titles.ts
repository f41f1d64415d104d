// Events as objects: an empty one, and those that name the processes and tracks of a trace.
import { MACHINE, THREADS, type TraceEvent, VCPU } from "./event.ts";

/** An event while it is made. */
export type Making = { -readonly [Key in keyof TraceEvent]: TraceEvent[Key] };

/** The name of a process or a track. */
export interface Title {
  readonly kind: "process_name" | "thread_name";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
}

/** All fields, whatever the event has: engines are faster at objects of one shape. */
export function blank(): Making {
  return {
    name: "",
    cat: undefined,
    ph: "i",
    ts: 0,
    dur: undefined,
    pid: MACHINE,
    tid: VCPU,
    s: undefined,
    id: undefined,
    bind_id: undefined,
    flow_in: undefined,
    flow_out: undefined,
    args: undefined,
  };
}

/** Takes from a slice what makes it a step. */
export const NO_FLOW = { bind_id: undefined, flow_in: undefined, flow_out: undefined };

export const TITLES: readonly Title[] = [
  { kind: "process_name", pid: MACHINE, tid: 0, name: "machine" },
  { kind: "process_name", pid: THREADS, tid: 0, name: "guest threads" },
  { kind: "thread_name", pid: MACHINE, tid: VCPU, name: "vCPU" },
];

export const trackTitle = ({ tid, name }: Pick<Title, "tid" | "name">): Title => ({
  kind: "thread_name",
  pid: MACHINE,
  tid,
  name,
});

export const threadTitle = (id: number, name: string): Title => ({
  kind: "thread_name",
  pid: THREADS,
  tid: id,
  name: `${id} ${name}`,
});

export function titleEvent({ kind, pid, tid, name }: Title): TraceEvent {
  return { ...blank(), name: kind, ph: "M", pid, tid, args: { name } };
}
