// A trace as a file.

import type { EventKind, EventWriter, TraceEvent, TraceOptions, TraceSink } from "./event.ts";
import { EventBatch } from "./event-batch.ts";
import { KindTemplates } from "./kind-template.ts";

/** The buffer in which text is gathered. An event that is longer is written by itself. */
const BUFFER_BYTES = 64 * 1024;
/** An event is written so much later at most. */
const FLUSH_MS = 100;
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
  readonly #batch = new EventBatch();
  readonly #kinds = new Map<number, KindTemplates>(); // by serial number
  readonly #text = new Uint8Array(BUFFER_BYTES);
  #at = 0;
  #isFirst = true; // the next event
  #timer: ReturnType<typeof setTimeout> | null = null; // while there is something to be written
  #ended = false;

  /**
   * `write` gets whole events, a tenth of a second after the first of them or earlier. It must copy
   * them before it returns, and must not throw. It may end the trace, which then has no more.
   */
  constructor(write: (bytes: Uint8Array) => void, options: TraceOptions = {}) {
    this.#write = write;
    const writer: EventWriter = {
      put: (kind, tid, sinceNs, durNs, flow, a, b, c) => {
        if (this.#ended) return true;
        if (!this.#batch.put(kind, tid, sinceNs, durNs, flow, a, b, c)) return false;
        this.#timer ??= setTimeout(this.#flush, FLUSH_MS);
        return true;
      },
    };
    const names = options.names === true;
    const take = (event: TraceEvent) => this.#take(event);
    this.sink = Object.assign(take, { borrows: true, names, writer });
  }

  #take(event: TraceEvent): void {
    if (this.#ended) return;
    this.#empty();
    this.#append(encoder.encode(`,\n${JSON.stringify(event)}`));
    this.#timer ??= setTimeout(this.#flush, FLUSH_MS);
  }

  /** Ends the array. Calling it again does nothing. */
  readonly end = (): void => {
    if (this.#ended) return;
    this.#flush();
    if (this.#ended) return;
    this.#ended = true;
    this.#write(encoder.encode(this.#isFirst ? "[]\n" : "\n]\n"));
  };

  readonly #flush = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#empty();
    this.#writeText();
  };

  /** Writes what the batch has as text. */
  #empty(): void {
    if (!this.#batch.isEmpty) this.#batch.empty(this.#put);
  }

  readonly #put = (kind: EventKind, numbers: Float64Array, at: number): void => {
    const templates = this.#kinds.get(kind.serial | 0) ?? this.#addKind(kind);
    this.#append(templates.put(numbers, at));
  };

  #append(event: Uint8Array): void {
    if (this.#at + event.length > BUFFER_BYTES) this.#writeText();
    if (this.#ended) return;
    if (event.length > BUFFER_BYTES) {
      this.#writeWhole(event.slice());
      return;
    }
    this.#text.set(event, this.#at);
    this.#at += event.length;
  }

  #addKind(kind: EventKind): KindTemplates {
    if (this.#kinds.size === WRITTEN_MAX) this.#kinds.clear();
    const templates = new KindTemplates(kind);
    this.#kinds.set(kind.serial | 0, templates);
    return templates;
  }

  #writeText(): void {
    const bytes = this.#at;
    this.#at = 0;
    if (bytes > 0) this.#writeWhole(this.#text.subarray(0, bytes));
  }

  /** The first event follows no other one. */
  #writeWhole(events: Uint8Array): void {
    if (this.#isFirst) events[0] = BRACKET;
    this.#isFirst = false;
    this.#write(events);
  }
}
