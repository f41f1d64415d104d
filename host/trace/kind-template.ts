// Events of one kind as JSON. They differ in a few numbers only, so the bytes of one are kept and
// copied, and the numbers are written over.
import type { EventKind, FlowStep } from "./event.ts";
import { isCount, JsonBuilder, putId, putNumber, putTime, TIME_MAX_NS } from "./json-numbers.ts";

interface Limits {
  readonly ts: number;
  readonly tid: number;
  readonly dur: number;
  readonly id: number;
  readonly args: readonly number[];
}

const NO_LIMITS: Limits = { ts: 0, tid: 0, dur: 0, id: 0, args: [] };

export class KindTemplate {
  /** Begins with what separates two events. */
  readonly bytes: Uint8Array;
  // Where numbers end, and the least that they have no room for.
  readonly #tsEnd: number;
  readonly #tsLimit: number;
  readonly #tidEnd: number;
  readonly #tidLimit: number;
  readonly #durEnd: number; // 0: it has none
  readonly #durLimit: number;
  readonly #idEnd: number; // 0: it has none
  readonly #idWidth: number;
  readonly #argEnds: readonly number[];
  readonly #argLimits: readonly number[];

  /**
   * With room for these numbers, and for some that are longer by a digit; and for all that `before`
   * has room for, which the new one replaces.
   */
  constructor(
    { name, ph, pid, cat, keys, constants }: EventKind,
    tid: number,
    sinceNs: number,
    durNs: number,
    flow: FlowStep | undefined,
    values: readonly number[],
    before?: KindTemplate,
  ) {
    const json = new JsonBuilder();
    const { ts, tid: tids, dur: durs, id, args } = before?.limits ?? NO_LIMITS;
    const most = (value: number, limit = 0) => Math.max(value, limit / 10 - 1);
    json.text(`,\n{"name":${JSON.stringify(name)},"ph":"${ph}","ts":`);
    [this.#tsEnd, this.#tsLimit] = json.room(most(sinceNs / 1000, ts), 4);
    json.text(`,"pid":${pid},"tid":`);
    [this.#tidEnd, this.#tidLimit] = json.room(most(tid, tids), 0);
    if (ph === "X") json.text(',"dur":');
    const long = most(durNs / 1000, durs);
    [this.#durEnd, this.#durLimit] = ph === "X" ? json.room(long, 4) : [0, 0];
    if (cat !== undefined) json.text(`,"cat":${JSON.stringify(cat)}`);
    if (ph === "i") json.text(',"s":"t"');
    if (flow !== undefined) json.text(ph === "X" ? ',"bind_id":' : ',"id":');
    this.#idWidth = Math.max(id, flow === undefined ? 0 : flow.id.length + 1);
    this.#idEnd = flow === undefined ? 0 : json.spaces(this.#idWidth + 2);
    if (flow !== undefined && ph === "X") {
      json.text(`,"flow_in":${!flow.begins},"flow_out":true`);
    }
    const fixed = Object.entries(constants).map(
      ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`,
    );
    const hasArguments = fixed.length + keys.length > 0;
    if (hasArguments) json.text(`,"args":{${fixed.join()}`);
    const rooms = keys.map((key, i) => {
      json.text(`${i + fixed.length === 0 ? "" : ","}${JSON.stringify(key)}:`);
      return json.room(most(values[i] as number, args[i]), 0);
    });
    this.#argEnds = rooms.map(([end]) => end);
    this.#argLimits = rooms.map(([, limit]) => limit);
    json.text(hasArguments ? "}}" : "}");
    this.bytes = json.bytes();
  }

  /** The least numbers that it has no room for, and the width of ids. */
  get limits(): Limits {
    const [ts, tid, dur, id] = [this.#tsLimit, this.#tidLimit, this.#durLimit, this.#idWidth];
    return { ts, tid, dur, id, args: this.#argLimits };
  }

  /** Puts an event at `at`, where there is room. False: a number is too long. */
  put(
    into: Uint8Array,
    at: number,
    tid: number,
    sinceNs: number,
    durNs: number,
    flow: FlowStep | undefined,
    a: number,
    b: number,
    c: number,
  ): boolean {
    const [ends, limits] = [this.#argEnds, this.#argLimits];
    const count = ends.length;
    if (tid >= this.#tidLimit || (flow !== undefined && flow.id.length > this.#idWidth))
      return false;
    if (count > 0 && a >= (limits[0] as number)) return false;
    if (count > 1 && b >= (limits[1] as number)) return false;
    if (count > 2 && c >= (limits[2] as number)) return false;
    into.set(this.bytes, at);
    if (count > 0) putNumber(into, at + (ends[0] as number), a);
    if (count > 1) putNumber(into, at + (ends[1] as number), b);
    if (count > 2) putNumber(into, at + (ends[2] as number), c);
    putNumber(into, at + this.#tidEnd, tid);
    if (flow !== undefined) putId(into, at + this.#idEnd, flow.id);
    if (this.#durEnd > 0 && !putTime(into, at + this.#durEnd, durNs, this.#durLimit)) return false;
    return putTime(into, at + this.#tsEnd, sinceNs, this.#tsLimit);
  }
}

/** Can its numbers be written over? */
export function fits(tid: number, sinceNs: number, durNs: number, a: number, b: number, c: number) {
  const areTimes = sinceNs >= 0 && sinceNs < TIME_MAX_NS && durNs >= 0 && durNs < TIME_MAX_NS;
  return areTimes && isCount(tid) && isCount(a) && isCount(b) && isCount(c);
}
