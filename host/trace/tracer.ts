// The trace of one machine: runs of the guest's threads, entries into the guest, and events of
// devices. It is on while somebody takes its events, and costs a test an event otherwise.
import type { GuestExports } from "../image.ts";
import type { GuestMemory } from "../memory.ts";
import type { Clock } from "../ports/clock.ts";
import type { GuestLoad } from "../stats.ts";
import type { ConnectionKey } from "./connection-key.ts";
import {
  EventKind,
  type Flow,
  flowId,
  MACHINE,
  THREADS,
  type TraceArguments,
  type TraceEvent,
  type TraceOptions,
  type TraceSink,
  VCPU,
} from "./event.ts";
import { type Exchange, Flows } from "./flows.ts";
import { type Run, Switches } from "./switches.ts";
import { Taker } from "./taker.ts";
import {
  blank,
  type Making,
  NO_FLOW,
  TITLES,
  threadTitle,
  titleEvent,
  trackTitle,
} from "./titles.ts";
import type { EventTaker, Tracing } from "./tracing.ts";

/** Threads come and go: after this many of them the trace knows none, and names them again. */
const THREADS_MAX = 4096;
/** Counters are written at most that often. */
const COUNTERS_NS = 1_000_000;
const THREAD_COUNT = new EventKind("C", THREADS, "threads", ["count"]);
const HEAP = new EventKind("C", THREADS, "heap", ["bytes"]);
/** Titles of exchanges whose kinds are kept; then they are made anew. */
const EDGES_MAX = 1024;

/** The reason for which a thread waits. */
export interface Wait {
  /** Named as in "waits: time". */
  readonly kind: EventKind;
  /** The connection that it serves; null: none. */
  readonly connection: ConnectionKey | null;
  /** An argument of such a kind, if it waits for a socket; 0: without a peer. */
  readonly remotePort: number;
}

export interface TracerOptions {
  /** As the guest claims. */
  readonly load: () => Pick<GuestLoad, "threads" | "heapInUse">;
  readonly clock: Clock;
  readonly memory: GuestMemory;
  readonly tracing: Tracing;
  /** A trace has begun, or has ended: entries into the guest are to be recorded, or no longer. */
  readonly switched: (isOn: boolean) => void;
  /** Runs host code inside an entry into the guest. */
  readonly aside: (sink: TraceSink) => TraceSink;
  /** Names the function that a thread began with. */
  readonly nameOf: (entry: number) => string | null;
  /** The wait of a thread in that queue, or for a TraceWait. null: it does not wait. */
  readonly waitOf: (queue: number) => Wait | null;
}

/** Runs of threads of one name: made ready by the host, or by another thread. */
interface RunKinds {
  readonly run: EventKind;
  readonly woken: EventKind;
}

/** A thread of the guest, as it was after the last of its runs. */
interface KnownThread {
  readonly name: string;
  readonly kinds: RunKinds;
  wait: Wait | null; // null: it does not wait, or nobody knows
  sinceNs: number; // of its wait
  serves: ConnectionKey | null; // that it has waited for last
}

/** Of the machine that a sink took events of last: another may follow it in the same file. */
const lastFlows = new WeakMap<TraceSink, Flows>();

export class Tracer implements EventTaker {
  readonly #options: TracerOptions;
  readonly #switches: Switches;
  #takers: readonly Taker[] = [];
  #lent: Making | null = null; // the object of all events; null: somebody may keep them
  readonly #threads = new Map<number, KnownThread>();
  /** Requests that flow through the machine. */
  readonly flows = new Flows((exchange) => this.#exchange(exchange));
  readonly #runKinds = new Map<string, RunKinds>(); // by name
  readonly #edges = new Map<string, { readonly begin: EventKind; readonly end: EventKind }>();
  #threadCount = -1; // counters as they were written last
  #heapInUse = -1;
  #loadNs = Number.NEGATIVE_INFINITY;
  #lost = 0;
  #rejected = 0;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#switches = new Switches(options.memory);
    options.tracing.tracer = this;
  }

  /** Does anybody take events? */
  get isOn(): boolean {
    return this.#options.tracing.isOn;
  }

  /** From now on `sink` takes the events, until the result is called. */
  add(sink: TraceSink, options: TraceOptions = {}): () => void {
    const wasOn = this.isOn;
    const unknown = wasOn ? this.flows.begun() : new Set<Flow>();
    const taker = new Taker(sink, this.#options.aside(sink), options, unknown);
    this.flows.follow(lastFlows.get(sink));
    lastFlows.set(sink, this.flows);
    if (!wasOn) this.#begin();
    this.#setTakers([...this.#takers, taker]);
    for (const title of TITLES) taker.take(titleEvent(title));
    for (const track of this.#options.tracing.tracks) taker.take(titleEvent(trackTitle(track)));
    for (const [tid, { name }] of this.#threads) taker.take(titleEvent(threadTitle(tid, name)));
    if (!wasOn) this.#options.switched(true);
    return () => {
      if (!this.#takers.includes(taker)) return;
      this.#setTakers(this.#takers.filter((one) => one !== taker));
      if (!this.isOn) this.#options.switched(false);
    };
  }

  #setTakers(takers: readonly Taker[]): void {
    this.#takers = takers;
    this.#options.tracing.isOn = takers.length > 0;
    this.#lent = takers.every(({ borrows }) => borrows) ? blank() : null;
    this.flows.withPaths = takers.some(({ withNames }) => withNames);
  }

  #begin(): void {
    this.#switches.skip();
    this.#threads.clear();
    this.flows.clear();
    this.#threadCount = this.#heapInUse = -1;
    this.#loadNs = Number.NEGATIVE_INFINITY;
  }

  /** Whole nanoseconds, as the guest sees them. */
  now(): number {
    return Math.floor(this.#options.clock.now());
  }

  restored(): void {
    this.#begin();
  }

  /** An entry into the guest, as a slice around the runs of threads in it. */
  entry<Argument, Result>(
    name: string,
    enter: (argument: Argument) => Result,
    key?: string,
  ): (argument: Argument) => Result {
    const kind = new EventKind("X", MACHINE, name, key === undefined ? [] : [key]);
    return (argument) => {
      const sinceNs = this.now();
      try {
        return enter(argument);
      } finally {
        const untilNs = this.now();
        const shown = key === undefined ? 0 : Number(argument);
        this.event(kind, VCPU, sinceNs, untilNs, 0, shown, 0, 0);
        this.#runs(sinceNs, untilNs);
      }
    };
  }

  /** The guest's entry points, as slices. */
  guest(guest: GuestExports): GuestExports {
    return {
      exports: guest.exports,
      initialize: this.entry("initialize", guest.initialize) as () => void,
      boot: this.entry("boot", guest.boot),
      interrupt: this.entry("interrupt", guest.interrupt, "irq"),
      run: this.entry("run", guest.run),
      fault: guest.fault,
    };
  }

  /** The runs of threads that the guest recorded in an interval. */
  #runs(sinceNs: number, untilNs: number): void {
    const switches = this.#switches;
    switches.take(sinceNs, untilNs, this.#run);
    this.#count(untilNs);
    const { lost, rejected } = switches;
    this.#lost += lost;
    this.#rejected += rejected;
    if (lost > 0) this.instant(VCPU, "switches lost", untilNs, { lost, total: this.#lost });
    if (rejected > 0) {
      const args = { rejected, total: this.#rejected };
      this.instant(VCPU, "switches that cannot be", untilNs, args);
    }
  }

  readonly #run = ({ thread, entry, waker, startNs, endNs, waits }: Run): void => {
    const one = this.#threads.get(thread) ?? this.#meet(thread, entry);
    const { wait, serves } = one;
    let flow: Flow = 0;
    if (wait !== null) {
      this.event(wait.kind, thread, one.sinceNs, startNs, 0, wait.remotePort, 0, 0);
      if (serves !== null) flow = this.flows.present(serves);
    }
    const kind = waker > 0 ? one.kinds.woken : one.kinds.run;
    this.event(kind, thread, startNs, endNs, flow, waker, 0, 0);
    one.wait = this.#options.waitOf(waits);
    if (one.wait === null) return;
    one.sinceNs = endNs;
    one.serves = one.wait.connection ?? serves;
  };

  /** Of the connection that the thread serves. */
  present(): Flow {
    const serves = this.#threads.get(this.#switches.running())?.serves ?? null;
    return serves === null ? 0 : this.flows.present(serves);
  }

  /** An exchange is over: one line that spans it. `named`: the line of those who want names. */
  #exchange({ flow, title, named = title, sinceNs, untilNs }: Exchange): void {
    const endNs = Math.max(sinceNs, untilNs);
    for (const taker of this.#takers) taker.forget(flow);
    if (named === title) {
      const { begin, end } = this.#edges.get(title) ?? this.#edgesOf(title);
      this.event(begin, VCPU, sinceNs, sinceNs, flow, 0, 0, 0);
      this.event(end, VCPU, endNs, endNs, flow, 0, 0, 0);
    } else {
      this.#edge("b", flow, sinceNs, title, named);
      this.#edge("e", flow, endNs, title, named);
    }
  }

  #edgesOf(title: string) {
    if (this.#edges.size === EDGES_MAX) this.#edges.clear();
    const cat = { cat: "request" };
    const edges = {
      begin: new EventKind("b", MACHINE, title, [], cat),
      end: new EventKind("e", MACHINE, title, [], cat),
    };
    this.#edges.set(title, edges);
    return edges;
  }

  /** Where an exchange with a name begins, or ends. */
  #edge(ph: "b" | "e", flow: Flow, nowNs: number, name: string, named: string): void {
    const event = this.#event(ph, name, MACHINE, VCPU, nowNs);
    event.cat = "request";
    event.id = flowId(flow);
    this.#tell(event, { ...event, name: named });
  }

  /** Counters of the guest, when they have changed, and no more often than a reader can see. */
  #count(nowNs: number): void {
    if (nowNs - this.#loadNs < COUNTERS_NS || !this.#options.memory.attached) return;
    const { threads, heapInUse } = this.#options.load();
    this.#loadNs = nowNs;
    if (threads === this.#threadCount && heapInUse === this.#heapInUse) return;
    this.#threadCount = threads;
    this.#heapInUse = heapInUse;
    this.event(THREAD_COUNT, 0, nowNs, nowNs, 0, threads, 0, 0);
    this.event(HEAP, 0, nowNs, nowNs, 0, heapInUse, 0, 0);
  }

  /** Writes the name of a thread that the trace does not know, once. */
  #meet(id: number, entry: number): KnownThread {
    if (this.#threads.size === THREADS_MAX) this.#threads.clear();
    const name = this.#options.nameOf(entry) ?? "thread";
    const kinds = this.#runKinds.get(name) ?? this.#runKindsOf(name);
    const one: KnownThread = { name, kinds, wait: null, sinceNs: 0, serves: null };
    this.#threads.set(id, one);
    this.#tell(titleEvent(threadTitle(id, name)));
    return one;
  }

  event(
    kind: EventKind,
    tid: number,
    sinceNs: number,
    untilNs: number,
    flow: Flow,
    a: number,
    b: number,
    c: number,
  ): void {
    const takers = this.#takers;
    const isStep = kind.ph === "X";
    for (let i = 0; i < takers.length; i++) {
      const taker = takers[i] as Taker;
      const own = isStep ? taker.own(flow) : flow;
      const durNs = untilNs - sinceNs;
      if (taker.writer?.put(kind, tid, sinceNs, durNs, own, a, b, c) === true) continue;
      taker.take(this.#made(kind, tid, sinceNs, untilNs, own, a, b, c));
    }
  }

  #made(
    { ph, name, pid, cat, keys, constants }: EventKind,
    tid: number,
    sinceNs: number,
    untilNs: number,
    flow: Flow,
    ...values: number[]
  ): TraceEvent {
    const event = this.#event(ph, name, pid, tid, sinceNs);
    event.cat = cat;
    if (ph === "i") event.s = "t";
    if (ph === "X") event.dur = (untilNs - sinceNs) / 1000;
    if (flow !== 0 && ph === "X") {
      event.bind_id = flowId(flow);
      event.flow_in = flow > 0;
      event.flow_out = true;
    } else if (flow !== 0) {
      event.id = flowId(flow);
    }
    const numbers = keys.map((key, i) => [key, values[i] as number]);
    const args: TraceArguments = { ...constants, ...Object.fromEntries(numbers) };
    if (Object.keys(args).length > 0) event.args = args;
    return event;
  }

  #runKindsOf(name: string): RunKinds {
    if (this.#runKinds.size === THREADS_MAX) this.#runKinds.clear();
    const run = new EventKind("X", THREADS, name);
    const kinds = { run, woken: new EventKind("X", THREADS, name, ["waker"]) };
    this.#runKinds.set(name, kinds);
    return kinds;
  }

  instant(tid: number, name: string, nowNs: number, args: TraceArguments): void {
    const event = this.#event("i", name, MACHINE, tid, nowNs);
    event.s = "t";
    event.args = args;
    this.#tell(event);
  }

  slice(
    tid: number,
    name: string,
    sinceNs: number,
    untilNs: number,
    args: TraceArguments,
    flow: Flow,
    file?: string,
  ): void {
    const named = file === undefined ? args : { ...args, file };
    this.#slice(MACHINE, tid, name, sinceNs, untilNs, args, flow, named);
  }

  /** With a flow it is a step of that request. `named`: `args` for those who want names. */
  #slice(
    pid: number,
    tid: number,
    name: string,
    sinceNs: number,
    untilNs: number,
    args: TraceArguments | undefined,
    flow: Flow,
    named = args,
  ): void {
    const event = this.#event("X", name, pid, tid, sinceNs);
    event.dur = (untilNs - sinceNs) / 1000;
    event.args = args;
    if (flow !== 0) {
      event.bind_id = flowId(flow);
      event.flow_in = flow > 0;
      event.flow_out = true;
    }
    this.#tell(event, named === args ? event : { ...event, args: named }, flow);
  }

  /** Valid until the next one is made. */
  #event(ph: TraceEvent["ph"], name: string, pid: number, tid: number, ns: number): Making {
    const event = this.#lent ?? blank();
    event.name = name;
    event.ph = ph;
    event.ts = ns / 1000;
    event.pid = pid;
    event.tid = tid;
    event.cat = event.dur = event.s = event.id = event.args = undefined;
    event.bind_id = event.flow_in = event.flow_out = undefined;
    return event;
  }

  /** `named`: for those who want names. `flow`: that of a slice. */
  #tell(event: TraceEvent, named = event, flow: Flow = 0): void {
    for (const taker of this.#takers) {
      const told = taker.withNames ? named : event;
      taker.take(taker.own(flow) === flow ? told : { ...told, ...NO_FLOW });
    }
  }
}
