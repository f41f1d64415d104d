// A trace as a file.
import type { TraceEvent, TraceSink } from "./event.ts";

/** Names recur. */
const QUOTED_MAX = 4096;
/** As most events have at most. */
const EVENT_BYTES = 1024;

/**
 * Writes events as a JSON array: a sink for Insight.trace(). A file that is cut off after one of
 * its writes can still be loaded.
 */
export class JsonTrace {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #encoder = new TextEncoder();
  readonly #bytes = new Uint8Array(EVENT_BYTES);
  readonly #quoted = new Map<string, string>();
  #front = "[\n";
  #ended = false;

  /** `write` takes an event per call, copies it before it returns, and must not throw. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  readonly sink: TraceSink = (event) => {
    if (this.#ended) return;
    this.#put(this.#front + this.#text(event));
    this.#front = ",\n";
  };

  /** Ends the array. Calling it again does nothing. */
  readonly end = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#put(this.#front === "[\n" ? "[]\n" : "\n]\n");
  };

  #put(text: string): void {
    const { read, written } = this.#encoder.encodeInto(text, this.#bytes);
    if (read === text.length) this.#write(this.#bytes.subarray(0, written));
    else this.#write(this.#encoder.encode(text));
  }

  /** As JSON.stringify() would put it, which is slower where most keys and names are known. */
  #text({
    name,
    cat,
    ph,
    ts,
    dur,
    pid,
    tid,
    s,
    id,
    bind_id: flow,
    flow_in: isIn,
    args,
  }: TraceEvent) {
    let text = `{"name":${this.#quote(name)},"ph":"${ph}","ts":${decimal(ts)}`;
    text += `,"pid":${pid},"tid":${tid}`;
    if (dur !== undefined) text += `,"dur":${decimal(dur)}`;
    if (cat !== undefined) text += `,"cat":${this.#quote(cat)}`;
    if (s !== undefined) text += `,"s":"${s}"`;
    if (id !== undefined) text += `,"id":"${id}"`;
    if (flow !== undefined) {
      text += `,"bind_id":"${flow}","flow_in":${isIn === true},"flow_out":true`;
    }
    if (args === undefined) return `${text}}`;
    let between = ',"args":{';
    for (const key in args) {
      const value = args[key] as string | number;
      text += `${between}${this.#quote(key)}:`;
      text += typeof value === "number" ? value : this.#quote(value);
      between = ",";
    }
    return `${text}${between === "," ? "}" : ""}}`;
  }

  #quote(text: string): string {
    const known = this.#quoted.get(text);
    if (known !== undefined) return known;
    if (this.#quoted.size === QUOTED_MAX) this.#quoted.clear();
    const quoted = JSON.stringify(text);
    this.#quoted.set(text, quoted);
    return quoted;
  }
}

/** Microseconds with three decimals, of which engines print two integers faster. */
function decimal(us: number): string {
  const ns = Math.round(us * 1000);
  const [whole, rest] = [Math.floor(ns / 1000), ns % 1000];
  return rest === 0 ? `${whole}` : `${whole}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}`;
}
