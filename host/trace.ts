// A trace of one machine, in events for chrome://tracing and Perfetto: runs of the guest's threads,
// entries into the guest, and events of devices. The guest's records are checked: those with times
// that contradict others are dropped and counted.
import { TIME_PAGE_ADDRESS, TimePage } from "../abi/boot.ts";
import { TRACE_RECORDS, TraceRecord, TraceRing, traceRingBytes } from "../abi/trace.ts";
import type { DeviceTrace, VirtioDevice } from "./device.ts";
import type { GuestExports } from "./image.ts";
import { type GuestMemory, u32 } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";

/** Named values of a trace event. */
export type TraceArguments = Readonly<Record<string, string | number>>;

/** An event of the Trace Event Format. */
export interface TraceEvent {
  readonly name: string;
  /** X: a slice of `dur`; i: an instant; M: the name of a process or a track. */
  readonly ph: "X" | "i" | "M";
  /** Microseconds of the machine's clock, with three decimals. */
  readonly ts: number;
  readonly dur?: number;
  /** A group of tracks: the machine, or the guest's threads. */
  readonly pid: number;
  /** A track. A thread's is its id. */
  readonly tid: number;
  /** Scope of an instant: its track. */
  readonly s?: "t";
  readonly args?: TraceArguments | undefined;
}

/**
 * Takes the events of one machine, on each track in the order of their times. It must not throw,
 * nor call the machine.
 */
export type TraceSink = (event: TraceEvent) => void;

const MACHINE = 1; // pid
const THREADS = 2; // pid
const VCPU = 1; // tid; those of the devices follow, in the order of the bus
/** Threads come and go: after this many names, names are written again from scratch. */
const NAMED_MAX = 4096;
const TWO_32 = 4294967296;

/** One for each machine that has a sink. */
export class Tracer {
  readonly #sink: TraceSink;
  readonly #clock: Clock;
  readonly #memory: GuestMemory;
  readonly #named = new Set<number>();
  #devices = 0;
  #taken = 0; // TraceRing.written, when it was last read
  #lost = 0;
  #rejected = 0;

  constructor(sink: TraceSink, clock: Clock, memory: GuestMemory) {
    this.#sink = sink;
    this.#clock = clock;
    this.#memory = memory;
    this.#name("process_name", MACHINE, 0, "machine");
    this.#name("process_name", THREADS, 0, "guest threads");
    this.#name("thread_name", MACHINE, VCPU, "vCPU");
  }

  /** Whole nanoseconds, as the guest sees them. */
  readonly now = (): number => Math.floor(this.#clock.now());

  /** The guest comes from a snapshot: what is in its ring by now is not of this trace. */
  restored(): void {
    const ring = this.#ring();
    if (ring !== 0) this.#taken = this.#memory.view.getUint32(ring + TraceRing.written, true);
  }

  /** The address of the guest's ring; 0: there is none, or it cannot be there. */
  #ring(): number {
    const ring = this.#memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.trace, true);
    return this.#memory.contains(ring, traceRingBytes()) ? ring : 0;
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
        this.#switches(sinceNs, untilNs);
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
    this.#name("thread_name", MACHINE, tid, name);
    const events: DeviceTrace = {
      now: this.now,
      instant: (what, args) => this.#instant(tid, what, args),
      slice: (what, sinceNs, args) => this.#slice(MACHINE, tid, what, sinceNs, this.now(), args),
    };
    return {
      events,
      kicked: (queue: number) => {
        events.instant("kick", { queue, name: queueNames[queue] ?? "" });
      },
      interrupted: (irq: number) => events.instant("interrupt", { irq }),
    };
  }

  /** The runs of threads that the guest recorded in an interval. */
  #switches(sinceNs: number, untilNs: number): void {
    const { attached, view } = this.#memory;
    if (!attached) return; // the guest has ended itself
    const ring = this.#ring();
    if (ring === 0) return;
    const written = view.getUint32(ring + TraceRing.written, true);
    const kept = Math.min(u32(written - this.#taken), TRACE_RECORDS);
    const lost = u32(written - this.#taken) - kept;
    this.#taken = written;
    let atNs = sinceNs;
    let rejected = 0;
    for (let left = kept; left > 0; left--) {
      const place = u32(written - left) % TRACE_RECORDS;
      const record = ring + TraceRing.records + place * TraceRecord.sizeof;
      const startNs = this.#u64(record + TraceRecord.startNs);
      const endNs = this.#u64(record + TraceRecord.endNs, untilNs);
      const thread = view.getInt32(record + TraceRecord.thread, true);
      if (thread <= 0 || startNs < atNs || endNs < startNs || endNs > untilNs) {
        rejected++;
        continue;
      }
      this.#thread(thread);
      this.#slice(THREADS, thread, `thread ${thread}`, startNs, endNs);
      atNs = endNs;
    }
    this.#lost += lost;
    this.#rejected += rejected;
    if (lost > 0) this.#instant(VCPU, "switches lost", { lost, total: this.#lost });
    if (rejected > 0) {
      this.#instant(VCPU, "switches that cannot be", { rejected, total: this.#rejected });
    }
  }

  /** All ones: `running`. */
  #u64(address: number, running = Number.POSITIVE_INFINITY): number {
    const { view } = this.#memory;
    const low = view.getUint32(address, true);
    const high = view.getUint32(address + 4, true);
    return low === 0xffffffff && high === 0xffffffff ? running : high * TWO_32 + low;
  }

  #thread(id: number): void {
    if (this.#named.has(id)) return;
    if (this.#named.size === NAMED_MAX) this.#named.clear();
    this.#named.add(id);
    this.#name("thread_name", THREADS, id, `thread ${id}`);
  }

  #name(kind: "process_name" | "thread_name", pid: number, tid: number, name: string): void {
    this.#sink({ name: kind, ph: "M", ts: 0, pid, tid, args: { name } });
  }

  #instant(tid: number, name: string, args: TraceArguments): void {
    this.#sink({ name, ph: "i", ts: this.now() / 1000, pid: MACHINE, tid, s: "t", args });
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
    this.#sink({ name, ph: "X", ts: sinceNs / 1000, dur, pid, tid, args });
  }
}

/**
 * Writes events as a JSON array: a sink for Machine's option `trace`. A file that is cut off after
 * any of its writes can still be loaded.
 */
export class JsonTrace {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #encoder = new TextEncoder();
  #front = "[\n";
  #ended = false;

  /** `write` takes an event per call, and must not throw. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  readonly sink: TraceSink = (event) => {
    if (this.#ended) return;
    this.#write(this.#encoder.encode(this.#front + JSON.stringify(event)));
    this.#front = ",\n";
  };

  /** Ends the array. Calling it again does nothing. */
  readonly end = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#write(this.#encoder.encode(this.#front === "[\n" ? "[]\n" : "\n]\n"));
  };
}
