// Where a machine and its devices tell a tracer what happens. The tracer comes with the first who
// wants a trace; until then an event costs a test.
import type { DeviceTrace, StepKinds, VirtioDevice } from "../device.ts";
import { EventKind, type Flow, MACHINE, type TraceArguments, VCPU } from "./event.ts";
import type { Flows } from "./flows.ts";

/** How long a step is drawn at least that takes no time, if there is room for it on its track. */
const STEP_NS = 1000;

const INTERRUPT = new EventKind("i", MACHINE, "interrupt", ["irq"]);

/** The tracer, as machine and devices see it. */
export interface EventTaker {
  readonly flows: Flows;
  /** Whole nanoseconds, as the guest sees them. */
  now(): number;
  /** The request that the thread works on which runs now. 0: none, or it is not known. */
  present(): Flow;
  /** An event of a kind of the machine's. With a flow it is a step of that request. */
  event(
    kind: EventKind,
    tid: number,
    sinceNs: number,
    untilNs: number,
    flow: Flow,
    a: number,
    b: number,
    c: number,
  ): void;
  /** An event without duration, on a track of the machine. */
  instant(tid: number, name: string, nowNs: number, args: TraceArguments): void;
  /** The same with one. With a flow it is a step of that request. */
  slice(
    tid: number,
    name: string,
    sinceNs: number,
    untilNs: number,
    args: TraceArguments,
    flow: Flow,
    file?: string,
  ): void;
  /** The guest comes from a snapshot: its records so far are not of this trace. */
  restored(): void;
  /** `enter` as an entry into the guest, with the runs of threads in it. */
  entry<Argument, Result>(
    name: string,
    enter: (argument: Argument) => Result,
  ): (argument: Argument) => Result;
}

export class Tracing {
  /** Does anybody take events? The tracer sets it. */
  isOn = false;
  /** null: there was no trace so far. */
  tracer: EventTaker | null = null;
  readonly tracks: DeviceTrack[] = [];

  /** A track for the next device. */
  device(device: VirtioDevice): DeviceTrack {
    const track = new DeviceTrack(this, VCPU + 1 + this.tracks.length, device);
    this.tracks.push(track);
    return track;
  }
}

/** The track of a device: its own events, its kicks and its interrupts. */
export class DeviceTrack implements DeviceTrace {
  readonly tid: number;
  readonly name: string;
  readonly #tracing: Tracing;
  readonly #device: VirtioDevice;
  readonly #kicks: EventKind[] = []; // by queue
  #lastNs = 0; // of what is on the track so far

  constructor(tracing: Tracing, tid: number, device: VirtioDevice) {
    this.#tracing = tracing;
    this.tid = tid;
    this.name = device.name;
    this.#device = device;
  }

  get isOn(): boolean {
    return this.#tracing.isOn;
  }

  get withNames(): boolean {
    return this.flows.withPaths;
  }

  get flows(): Flows {
    return this.#tracer.flows;
  }

  get #tracer(): EventTaker {
    const { tracer } = this.#tracing;
    if (tracer === null) throw new Error("trace: an event without a tracer");
    return tracer;
  }

  now(): number {
    return this.#tracer.now();
  }

  present(): Flow {
    return this.#tracer.present();
  }

  happened(kinds: StepKinds, nowNs: number, flow: Flow, a = 0, b = 0, c = 0): void {
    const isStep = flow !== 0;
    const sinceNs = isStep ? Math.max(this.#lastNs, nowNs - STEP_NS) : nowNs;
    const kind = isStep ? kinds.step : kinds.instant;
    this.#tracer.event(kind, this.tid, sinceNs, nowNs, flow, a, b, c);
    this.#lastNs = nowNs;
  }

  took(kind: EventKind, sinceNs: number, flow: Flow, a = 0, b = 0, c = 0): void {
    const untilNs = this.now();
    this.#tracer.event(kind, this.tid, sinceNs, untilNs, flow, a, b, c);
    this.#lastNs = untilNs;
  }

  instant(name: string, nowNs: number, args: TraceArguments, flow: Flow = 0): void {
    if (flow === 0) {
      this.#tracer.instant(this.tid, name, nowNs, args);
    } else {
      const sinceNs = Math.max(this.#lastNs, nowNs - STEP_NS);
      this.#tracer.slice(this.tid, name, sinceNs, nowNs, args, flow);
    }
    this.#lastNs = nowNs;
  }

  slice(name: string, sinceNs: number, args: TraceArguments, flow: Flow = 0, file?: string): void {
    const untilNs = this.now();
    this.#tracer.slice(this.tid, name, sinceNs, untilNs, args, flow, file);
    this.#lastNs = untilNs;
  }

  readonly kicked = (queue: number): void => {
    if (this.isOn) this.#instant(this.#kickOf(queue), 0);
  };

  /** A queue may be another one for the next driver, and have another name. */
  #kickOf(queue: number): EventKind {
    const name = this.#device.queueNames[queue] ?? "";
    const known = this.#kicks[queue];
    if (known?.constants.name === name) return known;
    const kind = kickOf(queue, name);
    this.#kicks[queue] = kind;
    return kind;
  }

  interrupted(irq: number): void {
    if (this.isOn) this.#instant(INTERRUPT, irq);
  }

  #instant(kind: EventKind, argument: number): void {
    const nowNs = this.now();
    this.#tracer.event(kind, this.tid, nowNs, nowNs, 0, argument, 0, 0);
    this.#lastNs = nowNs;
  }
}

function kickOf(queue: number, name: string): EventKind {
  return new EventKind("i", MACHINE, "kick", [], { constants: { queue, name } });
}
