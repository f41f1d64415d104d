// A trace as a file.
import type { TraceEvent, TraceSink } from "./event.ts";
import { EventTemplate, hasTemplate } from "./event-template.ts";

/** The buffer in which events are gathered. A longer one is written by itself. */
const BUFFER_BYTES = 64 * 1024;
/** Names of events that have templates, and templates of a name. Then the oldest are dropped. */
const NAMES_MAX = 1024;
const KINDS_MAX = 8;
const BRACKET = 0x5b;

const encoder = new TextEncoder();

/**
 * Writes events as a JSON array: a sink for Insight.trace(). A file that is cut off after one of
 * its writes can still be loaded.
 */
export class JsonTrace {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #templates = new Map<string, EventTemplate[]>();
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  #at = 0;
  #isEmpty = true; // no event so far
  #isAsked = false; // for a flush
  #ended = false;

  /**
   * `write` gets whole events: those of one event of the host, which follow each other without a
   * break. It must copy them before it returns, and must not throw.
   */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  readonly sink: TraceSink = Object.assign((event: TraceEvent) => this.#take(event), {
    borrows: true,
  });

  #take(event: TraceEvent): void {
    if (this.#ended) return;
    this.#put(event);
    if (this.#isAsked) return;
    this.#isAsked = true;
    queueMicrotask(this.#flush);
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

  #put(event: TraceEvent): void {
    const known = this.#templates.get(event.name);
    if (known !== undefined) {
      for (let i = 0; i < known.length; i++) {
        if (this.#putLike(known[i] as EventTemplate, event)) return;
      }
    }
    if (hasTemplate(event) && this.#putLike(this.#learn(event), event)) return;
    this.#append(encoder.encode(`,\n${JSON.stringify(event)}`));
  }

  #learn(event: TraceEvent): EventTemplate {
    const template = new EventTemplate({ ...event }); // it may be lent
    let kinds = this.#templates.get(event.name);
    if (kinds === undefined) {
      if (this.#templates.size === NAMES_MAX) this.#templates.clear();
      kinds = [];
      this.#templates.set(event.name, kinds);
    }
    if (kinds.unshift(template) > KINDS_MAX) kinds.pop();
    return template;
  }

  /** False: the event is not like that, or longer than the buffer. */
  #putLike(template: EventTemplate, event: TraceEvent): boolean {
    const { length } = template.bytes;
    if (this.#at + length > BUFFER_BYTES) this.#flush();
    if (length > BUFFER_BYTES || !template.put(event, this.#bytes, this.#at)) return false;
    this.#begin(this.#bytes, this.#at);
    this.#at += length;
    return true;
  }

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
