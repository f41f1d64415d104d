// A machine as tools may see it: the state of its guest's kernel, and its events. The state is
// read from the guest's memory: no code of the guest runs, and what it says is not trusted. Of an
// image with another kernel there is nothing to see.
import { bytesOfModule, globalOf } from "../image.ts";
import { ImageNames } from "../image-names.ts";
import type { MachineInside } from "../inside.ts";
import { readGuestLoad } from "../stats.ts";
import type { TraceOptions, TraceSink } from "../trace/event.ts";
import { Tracer } from "../trace/tracer.ts";
import { GuestReader } from "./guest-reader.ts";
import { type HeapMap, type HeapView, mapHeap, readHeap } from "./heap.ts";
import { type Layout, readLayout } from "./layout.ts";
import { readSockets, type SocketsView } from "./sockets.ts";
import { readThreads, type ThreadsView } from "./threads.ts";
import { describeWait, Waits } from "./waits.ts";

const known = new WeakMap<MachineInside, Insight>();

/** That of a machine, one for all tools. */
export function insightOf({ inside }: { readonly inside: MachineInside }): Insight {
  let insight = known.get(inside);
  if (insight === undefined) {
    insight = new Insight(inside);
    known.set(inside, insight);
  }
  return insight;
}

/** Reads one machine, and changes nothing of it. */
export class Insight {
  readonly #tracer: Tracer;
  readonly #inside: MachineInside;
  readonly #reader: GuestReader;
  readonly #names: ImageNames;
  #layout: Layout | null | undefined; // undefined: not read yet
  #waits: Waits | null = null; // while there is a trace

  /** Use insightOf(). */
  constructor(inside: MachineInside) {
    const { module, memory, clock, tracing, guest, traced, aside } = inside;
    this.#inside = inside;
    this.#reader = new GuestReader(memory);
    this.#names = new ImageNames(bytesOfModule(module));
    this.#tracer = new Tracer({
      ...{ clock, memory, tracing, aside, nameOf: this.#names.of },
      load: () => readGuestLoad(memory),
      switched: (isOn) => {
        this.#waits = this.#known && new Waits(this.#reader, this.#known);
        traced(isOn ? this.#tracer.guest(guest()) : guest(), isOn);
      },
      waitOf: (queue) => this.#waits?.of(queue) ?? null,
    });
  }

  /**
   * From now on `sink` gets the events of the machine, until the result is called. Meanwhile the
   * machine does not rewind.
   */
  trace(sink: TraceSink, options: TraceOptions = {}): () => void {
    return this.#tracer.add(sink, options);
  }

  /** Whole nanoseconds of the machine's clock. */
  now(): number {
    return this.#tracer.now();
  }

  /** null, here and below: the image does not say where. */
  threads(): ThreadsView | null {
    const layout = this.#known;
    return layout && readThreads(this.#reader, layout, this.#names.of);
  }

  /** The guest's sockets. */
  sockets(): SocketsView | null {
    const layout = this.#known;
    return layout && readSockets(this.#reader, layout);
  }

  /** Bytes of the guest's heap in use and in all. */
  heap(): HeapView | null {
    if (this.#known === null) return null;
    return readHeap(this.#inside.memory, this.#global("layout_heap_peakBytes"));
  }

  /** The blocks of the heap, one after the other. Takes time with their number. */
  heapMap(): HeapMap | null {
    const layout = this.#known;
    if (layout === null) return null;
    const [start, end] = [this.#global("layout_heap_start"), this.#global("layout_heap_end")];
    return mapHeap(this.#reader, layout, start, end);
  }

  /** Names what a thread waits for in that queue, or for a TraceWait; "": nothing. */
  describeWait(queue: number): string {
    const layout = this.#known;
    return layout === null ? "" : describeWait(this.#reader, layout, queue);
  }

  #global(name: string): number {
    return globalOf(this.#inside.guest(), name);
  }

  get #known(): Layout | null {
    if (this.#layout === undefined) this.#layout = readLayout((name) => this.#global(name));
    return this.#layout;
  }
}
