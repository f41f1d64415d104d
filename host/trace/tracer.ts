// The trace of one machine: runs of the guest's threads, entries into the guest, and events of
// devices. It is on while somebody takes its events, and costs a test an event otherwise.
import type { DeviceTrace, VirtioDevice } from "../device.ts";
import type { GuestExports } from "../image.ts";
import type { GuestMemory } from "../memory.ts";
import type { Clock } from "../ports/clock.ts";
import type { GuestLoad } from "../stats.ts";
import {
  MACHINE,
  THREADS,
  type TraceArguments,
  type TraceEvent,
  type TraceSink,
  VCPU,
} from "./event.ts";
import { type ConnectionKey, type Exchange, type FlowStep, Flows } from "./flows.ts";
import { type Run, Switches } from "./switches.ts";

/** Threads come and go: after this many names, names are written again from scratch. */
const NAMED_MAX = 4096;
/** How long a step is drawn at least that takes no time, if there is room for it on its track. */
const STEP_NS = 1000;
/** Counters are written at most that often. */
const COUNTERS_NS = 1_000_000;

export interface TracerOptions {
  /** As the guest claims. */
  readonly load: () => Pick<GuestLoad, "threads" | "heapInUse">;
  readonly clock: Clock;
  readonly memory: GuestMemory;
  /** A trace has begun, or has ended: entries into the guest are to be recorded, or no longer. */
  readonly switched: (isOn: boolean) => void;
  /** Runs host code inside an entry into the guest. */
  readonly aside: (sink: TraceSink) => TraceSink;
  /** Names the function that a thread began with. */
  readonly nameOf: (entry: number) => string | null;
  /** Names what a thread waits for in a queue, or for a TraceWait. "": nothing. */
  readonly describeWait: (queue: number) => string;
  /** The connection that a thread serves which waits in that queue; null: none. */
  readonly connectionOf: (queue: number) => ConnectionKey | null;
}

/** The name of a process or a track. */
interface Title {
  readonly kind: "process_name" | "thread_name";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
}

/** A thread between two of its runs. */
interface Waiting {
  readonly sinceNs: number;
  readonly what: string;
}

export class Tracer {
  readonly #options: TracerOptions;
  readonly #switches: Switches;
  readonly #sinks = new Set<TraceSink>();
  readonly #tracks: Title[] = [
    { kind: "process_name", pid: MACHINE, tid: 0, name: "machine" },
    { kind: "process_name", pid: THREADS, tid: 0, name: "guest threads" },
    { kind: "thread_name", pid: MACHINE, tid: VCPU, name: "vCPU" },
  ];
  readonly #threads = new Map<number, string>(); // names that were written
  readonly #waiting = new Map<number, Waiting>();
  readonly #serving = new Map<number, ConnectionKey>(); // what threads waited for last
  /** Requests that flow through the machine. */
  readonly flows = new Flows((exchange) => this.#exchange(exchange));
  #load = ""; // counters as they were written last
  #loadNs = Number.NEGATIVE_INFINITY;
  #devices = 0;
  #lost = 0;
  #rejected = 0;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#switches = new Switches(options.memory);
  }

  /** Does anybody take events? */
  get isOn(): boolean {
    return this.#sinks.size > 0;
  }

  /** From now on `sink` takes the events, until the result is called. */
  add(sink: TraceSink): () => void {
    const taker = this.#options.aside(sink);
    const wasOn = this.isOn;
    if (!wasOn) this.#begin();
    this.#sinks.add(taker);
    for (const title of this.#tracks) taker(eventOf(title));
    for (const [tid, name] of this.#threads) taker(eventOf(threadTitle(tid, name)));
    if (!wasOn) this.#options.switched(true);
    return () => {
      if (this.#sinks.delete(taker) && !this.isOn) this.#options.switched(false);
    };
  }

  #begin(): void {
    this.#switches.skip();
    this.#threads.clear();
    this.#waiting.clear();
    this.#serving.clear();
    this.flows.clear();
    this.#load = "";
    this.#loadNs = Number.NEGATIVE_INFINITY;
  }

  /** Whole nanoseconds, as the guest sees them. */
  readonly now = (): number => Math.floor(this.#options.clock.now());

  /** The guest comes from a snapshot: what is in its ring by now is not of this trace. */
  restored(): void {
    this.#begin();
  }

  /** An entry into the guest, as a slice around the runs of threads in it. */
  entry<Args extends unknown[], Result>(
    name: string,
    enter: (...args: Args) => Result,
    show?: (...args: Args) => TraceArguments,
  ): (...args: Args) => Result {
    return (...args) => {
      const sinceNs = this.now();
      try {
        return enter(...args);
      } finally {
        const untilNs = this.now();
        this.#slice(MACHINE, VCPU, name, sinceNs, untilNs, show?.(...args));
        this.#runs(sinceNs, untilNs);
      }
    };
  }

  /** The guest's entry points, as slices. */
  guest(guest: GuestExports): GuestExports {
    return {
      exports: guest.exports,
      initialize: this.entry("initialize", guest.initialize),
      boot: this.entry("boot", guest.boot),
      interrupt: this.entry("interrupt", guest.interrupt, (irq) => ({ irq })),
      run: this.entry("run", guest.run),
      fault: guest.fault,
    };
  }

  /** A track for the next device: its own events, its kicks and its interrupts. */
  device({ name, queueNames }: VirtioDevice) {
    const tid = VCPU + ++this.#devices;
    this.#tracks.push({ kind: "thread_name", pid: MACHINE, tid, name });
    const tracer = this;
    let lastNs = 0; // of what is on the track so far
    const events: DeviceTrace = {
      get isOn() {
        return tracer.isOn;
      },
      flows: this.flows,
      now: this.now,
      present: () => this.#present(),
      instant: (what, args, flow) => {
        const nowNs = this.now();
        if (flow === undefined) {
          this.#instant(tid, what, args);
        } else {
          const sinceNs = Math.max(lastNs, nowNs - STEP_NS);
          this.#step(MACHINE, tid, what, sinceNs, nowNs - sinceNs, flow, args);
        }
        lastNs = nowNs;
      },
      slice: (what, sinceNs, args, flow) => {
        const untilNs = this.now();
        if (flow === undefined) this.#slice(MACHINE, tid, what, sinceNs, untilNs, args);
        else this.#step(MACHINE, tid, what, sinceNs, untilNs - sinceNs, flow, args);
        lastNs = untilNs;
      },
    };
    return {
      events,
      kicked: (queue: number) => {
        if (tracer.isOn) events.instant("kick", { queue, name: queueNames[queue] ?? "" });
      },
      interrupted: (irq: number) => {
        if (tracer.isOn) events.instant("interrupt", { irq });
      },
    };
  }

  /** The runs of threads that the guest recorded in an interval. */
  #runs(sinceNs: number, untilNs: number): void {
    const { runs, lost, rejected } = this.#switches.take(sinceNs, untilNs);
    for (const run of runs) this.#run(run);
    this.#count(untilNs);
    this.#lost += lost;
    this.#rejected += rejected;
    if (lost > 0) this.#instant(VCPU, "switches lost", { lost, total: this.#lost });
    if (rejected > 0) {
      this.#instant(VCPU, "switches that cannot be", { rejected, total: this.#rejected });
    }
  }

  #run({ thread, entry, waker, startNs, endNs, waits }: Run): void {
    const name = this.#nameThread(thread, entry);
    const waited = this.#waiting.get(thread);
    if (waited !== undefined) {
      this.#waiting.delete(thread);
      const [ts, dur] = [waited.sinceNs / 1000, (startNs - waited.sinceNs) / 1000];
      const name = `waits: ${waited.what}`;
      this.#tell({ name, cat: "wait", ph: "X", ts, dur, pid: THREADS, tid: thread });
    }
    const args = waker > 0 ? { waker } : undefined;
    const flow = waited === undefined ? undefined : this.#flowOf(thread);
    if (flow === undefined) this.#slice(THREADS, thread, name, startNs, endNs, args);
    else this.#step(THREADS, thread, name, startNs, endNs - startNs, flow, args);
    const what = this.#options.describeWait(waits);
    if (what === "") return;
    if (this.#waiting.size === NAMED_MAX) this.#waiting.clear();
    this.#waiting.set(thread, { sinceNs: endNs, what });
    const connection = this.#options.connectionOf(waits);
    if (connection === null) return;
    if (this.#serving.size === NAMED_MAX) this.#serving.clear();
    this.#serving.set(thread, connection);
  }

  /** The request that a thread works on: of the connection that it has waited for last. */
  #flowOf(thread: number): FlowStep | undefined {
    const connection = this.#serving.get(thread);
    return connection === undefined ? undefined : this.flows.present(connection);
  }

  #present(): FlowStep | undefined {
    const thread = this.#switches.running();
    return thread === 0 ? undefined : this.#flowOf(thread);
  }

  /** An exchange is over: one line that spans it. */
  #exchange({ id, title, sinceNs, untilNs }: Exchange): void {
    const [ts, end] = [sinceNs / 1000, Math.max(sinceNs, untilNs) / 1000];
    this.#tell({ name: title, cat: "request", ph: "b", ts, pid: MACHINE, tid: VCPU, id });
    this.#tell({ name: title, cat: "request", ph: "e", ts: end, pid: MACHINE, tid: VCPU, id });
  }

  /** Counters of the guest, when they have changed, and no more often than a reader can see. */
  #count(nowNs: number): void {
    if (nowNs - this.#loadNs < COUNTERS_NS || !this.#options.memory.attached) return;
    const { threads, heapInUse } = this.#options.load();
    const load = `${threads} ${heapInUse}`;
    if (load === this.#load) return;
    this.#load = load;
    this.#loadNs = nowNs;
    const one = { ph: "C", ts: nowNs / 1000, pid: THREADS, tid: 0 } as const;
    this.#tell({ ...one, name: "threads", args: { count: threads } });
    this.#tell({ ...one, name: "heap", args: { bytes: heapInUse } });
  }

  /** Writes the thread's name, once. */
  #nameThread(id: number, entry: number): string {
    const known = this.#threads.get(id);
    if (known !== undefined) return known;
    if (this.#threads.size === NAMED_MAX) this.#threads.clear();
    const name = this.#options.nameOf(entry) ?? "thread";
    this.#threads.set(id, name);
    this.#tell(eventOf(threadTitle(id, name)));
    return name;
  }

  #instant(tid: number, name: string, args: TraceArguments): void {
    this.#tell({ name, ph: "i", ts: this.now() / 1000, pid: MACHINE, tid, s: "t", args });
  }

  #slice(
    pid: number,
    tid: number,
    name: string,
    sinceNs: number,
    untilNs: number,
    args?: TraceArguments,
  ): void {
    const dur = (untilNs - sinceNs) / 1000;
    this.#tell({ name, ph: "X", ts: sinceNs / 1000, dur, pid, tid, args });
  }

  /** A slice that is a step of a request. */
  #step(
    pid: number,
    tid: number,
    name: string,
    sinceNs: number,
    durationNs: number,
    { id, begins }: FlowStep,
    args?: TraceArguments,
  ): void {
    const [ts, dur] = [sinceNs / 1000, durationNs / 1000];
    const flow_in = !begins;
    this.#tell({ name, ph: "X", ts, dur, pid, tid, bind_id: id, flow_in, flow_out: true, args });
  }

  #tell(event: TraceEvent): void {
    for (const sink of this.#sinks) sink(event);
  }
}

const threadTitle = (id: number, name: string): Title => ({
  kind: "thread_name",
  pid: THREADS,
  tid: id,
  name: `${id} ${name}`,
});

function eventOf({ kind, pid, tid, name }: Title): TraceEvent {
  return { name: kind, ph: "M", ts: 0, pid, tid, args: { name } };
}
