// One of those who take the events of a machine.
import type { EventWriter, Flow, TraceOptions, TraceSink } from "./event.ts";

export class Taker {
  readonly take: TraceSink;
  /** null: it takes objects. */
  readonly writer: EventWriter | null;
  readonly withNames: boolean;
  readonly borrows: boolean;
  /** Exchanges that began before it came. */
  readonly #unknown: Set<Flow>;

  /** `take` hands events to the sink. */
  constructor(sink: TraceSink, take: TraceSink, options: TraceOptions, unknown: Set<Flow>) {
    this.take = take;
    this.writer = sink.writer ?? null;
    this.withNames = options.names ?? sink.names === true;
    this.borrows = sink.borrows === true;
    this.#unknown = unknown;
  }

  /** The flow of a slice, as this trace has it: none if it has not got the beginning. */
  own(flow: Flow): Flow {
    return this.#unknown.size === 0 || !this.#unknown.has(flow) ? flow : 0;
  }

  /** The exchange is over. */
  forget(flow: Flow): void {
    if (this.#unknown.size > 0) this.#unknown.delete(flow);
  }
}
