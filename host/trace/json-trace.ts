// A trace as a file.
import type {
  EventKind,
  EventWriter,
  FlowStep,
  TraceEvent,
  TraceOptions,
  TraceSink,
} from "./event.ts";
import { fits, KindTemplate } from "./kind-template.ts";

/** The buffer in which events are gathered. A longer one is written by itself. */
const BUFFER_BYTES = 64 * 1024;
/** Kinds that have templates; then they are all dropped. */
const WRITTEN_MAX = 4096;
const BRACKET = 0x5b;

const encoder = new TextEncoder();

/**
 * Writes events as a JSON array: a sink for Insight.trace(). A file that is cut off after one of
 * its writes can still be loaded.
 */
export class JsonTrace {
  readonly sink: TraceSink;
  readonly #write: (bytes: Uint8Array) => void;
  /** Of each kind: without a flow, with one that goes on, and with one that begins. */
  readonly #kinds = new Map<EventKind, (KindTemplate | undefined)[]>();
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  #at = 0;
  #isEmpty = true; // no event so far
  #isAsked = false; // for a flush
  #ended = false;

  /**
   * `write` gets whole events: those of one event of the host, which follow each other without a
   * break. It must copy them before it returns, and must not throw.
   */
  constructor(write: (bytes: Uint8Array) => void, options: TraceOptions = {}) {
    this.#write = write;
    const writer: EventWriter = {
      put: (kind, tid, sinceNs, durNs, flow, a, b, c) =>
        this.#ended || this.#putKind(kind, tid, sinceNs, durNs, flow, a, b, c),
    };
    const names = options.names === true;
    const take = (event: TraceEvent) => this.#take(event);
    this.sink = Object.assign(take, { borrows: true, names, writer });
  }

  #take(event: TraceEvent): void {
    if (this.#ended) return;
    this.#append(encoder.encode(`,\n${JSON.stringify(event)}`));
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    queueMicrotask(this.#flush);
  }

  /** False: there is no room for it, or it has no template. */
  #putKind(
    kind: EventKind,
    tid: number,
    sinceNs: number,
    durNs: number,
    flow: FlowStep | undefined,
    a: number,
    b: number,
    c: number,
  ): boolean {
    if (!fits(tid, sinceNs, durNs, a, b, c)) return false;
    const way = flow === undefined ? 0 : flow.begins ? 2 : 1;
    const templates = this.#kinds.get(kind) ?? this.#addKind(kind);
    let template = templates[way];
    for (let tries = 0; tries < 2; tries++) {
      if (template !== undefined) {
        if (this.#at + template.bytes.length > BUFFER_BYTES) return false;
        if (template.put(this.#bytes, this.#at, tid, sinceNs, durNs, flow, a, b, c)) {
          this.#begin(this.#bytes, this.#at);
          this.#at += template.bytes.length;
          this.#flushLater();
          return true;
        }
      }
      template = new KindTemplate(kind, tid, sinceNs, durNs, flow, [a, b, c], template);
      templates[way] = template;
    }
    return false;
  }

  #addKind(kind: EventKind): (KindTemplate | undefined)[] {
    if (this.#kinds.size === WRITTEN_MAX) this.#kinds.clear();
    const templates = [undefined, undefined, undefined];
    this.#kinds.set(kind, templates);
    return templates;
  }

  /** Ends the array. Calling it again does nothing. */
  readonly end = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#flush();
    this.#write(encoder.encode(this.#isEmpty ? "[]\n" : "\n]\n"));
  };

  readonly #flush = (): void => {
    this.#isAsked = false;
    if (this.#at > 0) this.#write(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
  };

  #append(bytes: Uint8Array): void {
    this.#begin(bytes, 0);
    if (this.#at + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) {
      this.#write(bytes);
      return;
    }
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The first event follows no other one. */
  #begin(bytes: Uint8Array, at: number): void {
    if (this.#isEmpty) bytes[at] = BRACKET;
    this.#isEmpty = false;
  }
}
