// A machine as tools may see it: the state of its guest's kernel, and its events. The state is
// read from the guest's memory: no code of the guest runs, and what it says is not trusted. Of an
// image with another kernel there is nothing to see.
import { bytesOfModule, type GuestExports } from "../image.ts";
import { ImageNames } from "../image-names.ts";
import type { GuestMemory } from "../memory.ts";
import type { Clock } from "../ports/clock.ts";
import { readGuestLoad } from "../stats.ts";
import type { TraceOptions, TraceSink } from "../trace/event.ts";
import { Tracer } from "../trace/tracer.ts";
import { GuestReader } from "./guest-reader.ts";
import { type HeapMap, type HeapView, mapHeap, readHeap } from "./heap.ts";
import { type Layout, readLayout } from "./layout.ts";
import { readSockets, type SocketsView } from "./sockets.ts";
import { readThreads, type ThreadsView } from "./threads.ts";
import { describeWait, Waits } from "./waits.ts";

export interface InsightOptions {
  readonly module: WebAssembly.Module;
  readonly memory: GuestMemory;
  readonly clock: Clock;
  /** The guest's; not before it was instantiated. */
  readonly guest: () => GuestExports;
  /** The guest is to be entered in this way from now on, and records its switches or not. */
  readonly traced: (guest: GuestExports, isOn: boolean) => void;
  /** Runs host code inside an entry into the guest. */
  readonly aside: (sink: TraceSink) => TraceSink;
}

export class Insight {
  /** For the machine; use trace(). */
  readonly tracer: Tracer;
  readonly #options: InsightOptions;
  readonly #reader: GuestReader;
  readonly #names: ImageNames;
  #layout: Layout | null | undefined; // undefined: not read yet
  #waits: Waits | null = null; // while there is a trace

  constructor(options: InsightOptions) {
    const { module, memory, clock, guest, traced, aside } = options;
    this.#options = options;
    this.#reader = new GuestReader(memory);
    this.#names = new ImageNames(bytesOfModule(module));
    this.tracer = new Tracer({
      ...{ clock, memory, aside, nameOf: this.#names.of },
      load: () => readGuestLoad(memory),
      switched: (isOn) => {
        this.#waits = this.#known && new Waits(this.#reader, this.#known);
        traced(isOn ? this.tracer.guest(guest()) : guest(), isOn);
      },
      waitOf: (queue) => this.#waits?.of(queue) ?? null,
    });
  }

  /**
   * From now on `sink` gets the events of the machine, until the result is called. Meanwhile the
   * machine does not rewind.
   */
  trace(sink: TraceSink, options: TraceOptions = {}): () => void {
    return this.tracer.add(sink, options);
  }

  /** null, here and below: the image does not say where. */
  threads(): ThreadsView | null {
    const layout = this.#known;
    return layout && readThreads(this.#reader, layout, this.#names.of);
  }

  sockets(): SocketsView | null {
    const layout = this.#known;
    return layout && readSockets(this.#reader, layout);
  }

  heap(): HeapView | null {
    if (this.#known === null) return null;
    return readHeap(this.#options.memory, this.global("layout_heap_peakBytes"));
  }

  heapMap(): HeapMap | null {
    const layout = this.#known;
    if (layout === null) return null;
    const [start, end] = [this.global("layout_heap_start"), this.global("layout_heap_end")];
    return mapHeap(this.#reader, layout, start, end);
  }

  /** Names what a thread waits for in that queue, or for a TraceWait; "": nothing. */
  describeWait(queue: number): string {
    const layout = this.#known;
    return layout === null ? "" : describeWait(this.#reader, layout, queue);
  }

  /** The value of an exported global. Throws an Error if there is none. */
  global(name: string): number {
    const exported = this.#options.guest().exports[name];
    if (!(exported instanceof WebAssembly.Global)) throw new Error(`image: no global ${name}`);
    return Number(exported.value);
  }

  get #known(): Layout | null {
    if (this.#layout === undefined) this.#layout = readLayout((name) => this.global(name));
    return this.#layout;
  }
}
