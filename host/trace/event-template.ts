// Events of a trace as JSON. Those of one kind differ in a few numbers only, so the bytes of one
// are kept and copied, and the numbers are written over: from the right, for JSON allows spaces
// before them.
import type { TraceEvent } from "./event.ts";

/** Numbers up to here have digits, and nothing else; others are part of the template. */
const NUMBER_MAX = 1e15;
const BILLION = 1e9;
const INT_MAX = 0x7fffffff;
const ZERO = 0x30;
const POINT = 0x2e;
const QUOTE = 0x22;
const HEXADECIMAL = /^[0-9a-f]*$/;

const encoder = new TextEncoder();

/** Can there be a template for such an event? Otherwise JSON.stringify() has to do. */
export function hasTemplate({ ts, dur = 0, pid, tid, id = "", bind_id = "" }: TraceEvent): boolean {
  const numbers = isCount(pid) && isCount(tid) && isTime(ts) && isTime(dur);
  return numbers && HEXADECIMAL.test(id) && HEXADECIMAL.test(bind_id);
}

/** The bytes that events of one kind have in common. */
export class EventTemplate {
  /** Begins with what separates two events. */
  readonly bytes: Uint8Array;
  readonly #like: TraceEvent;
  readonly #keys: readonly string[];
  /** Of arguments; null: a number, which is written over. */
  readonly #values: readonly (string | number | null)[];
  // Where numbers end, and the least that they have no room for.
  readonly #tsEnd: number;
  readonly #tsLimit: number;
  readonly #tidEnd: number;
  readonly #tidLimit: number;
  readonly #durEnd: number;
  readonly #durLimit: number;
  readonly #idEnd: number;
  readonly #idWidth: number;
  readonly #argEnds: readonly number[];
  readonly #argLimits: readonly number[];

  constructor(event: TraceEvent) {
    const { name, cat, ph, ts, dur, pid, tid, s, id, bind_id, flow_in, args } = event;
    const json = new Builder();
    json.text(`,\n{"name":${JSON.stringify(name)},"ph":"${ph}","ts":`);
    [this.#tsEnd, this.#tsLimit] = json.room(ts, 4);
    json.text(`,"pid":${pid},"tid":`);
    [this.#tidEnd, this.#tidLimit] = json.room(tid, 0);
    if (dur !== undefined) json.text(',"dur":');
    [this.#durEnd, this.#durLimit] = dur === undefined ? [0, 0] : json.room(dur, 4);
    if (cat !== undefined) json.text(`,"cat":${JSON.stringify(cat)}`);
    if (s !== undefined) json.text(`,"s":"${s}"`);
    const flow = bind_id ?? id;
    if (flow !== undefined) json.text(bind_id === undefined ? ',"id":' : ',"bind_id":');
    this.#idWidth = flow === undefined ? 0 : flow.length + 1;
    this.#idEnd = flow === undefined ? 0 : json.spaces(this.#idWidth + 2);
    if (bind_id !== undefined) json.text(`,"flow_in":${flow_in === true},"flow_out":true`);
    this.#like = event;
    this.#keys = args === undefined ? [] : Object.keys(args);
    this.#values = this.#keys.map((key) => fixed(args?.[key]));
    const rooms = this.#keys.map((key, i) => {
      json.text(`${i === 0 ? ',"args":{' : ","}${JSON.stringify(key)}:`);
      const value = this.#values[i] ?? null;
      if (value === null) return json.room(args?.[key] as number, 0);
      json.text(JSON.stringify(value));
      return [0, 0] as const;
    });
    this.#argEnds = rooms.map(([end]) => end);
    this.#argLimits = rooms.map(([, limit]) => limit);
    json.text(args === undefined ? "}" : this.#keys.length === 0 ? ',"args":{}}' : "}}");
    this.bytes = json.bytes();
  }

  /** Puts an event at `at`, where there is room. False: it is of another kind. */
  put(event: TraceEvent, into: Uint8Array, at: number): boolean {
    const { dur, tid, args, id, bind_id } = event;
    const like = this.#like;
    if (event.ph !== like.ph || event.pid !== like.pid || event.cat !== like.cat) return false;
    if (event.flow_in !== like.flow_in || event.s !== like.s) return false;
    if ((bind_id === undefined) !== (like.bind_id === undefined)) return false;
    if ((id === undefined) !== (like.id === undefined)) return false;
    if ((dur === undefined) !== (like.dur === undefined)) return false;
    if ((args === undefined) !== (like.args === undefined)) return false;
    const flow = bind_id ?? id;
    if (flow !== undefined && flow.length > this.#idWidth) return false;
    if (!(tid < this.#tidLimit)) return false;
    into.set(this.bytes, at);
    if (args !== undefined && !this.#putArguments(args, into, at)) return false;
    putNumber(into, at + this.#tidEnd, tid);
    if (flow !== undefined) putId(into, at + this.#idEnd, flow);
    if (dur !== undefined && !putTime(into, at + this.#durEnd, dur, this.#durLimit)) return false;
    return putTime(into, at + this.#tsEnd, event.ts, this.#tsLimit);
  }

  #putArguments(args: object, into: Uint8Array, at: number): boolean {
    const keys = this.#keys;
    let count = 0;
    for (const key in args) {
      if (key !== keys[count]) return false;
      const value = (args as Record<string, string | number>)[key];
      const known = this.#values[count] as string | number | null;
      if (known !== null) {
        if (value !== known) return false;
      } else {
        const isRight = typeof value === "number" && isCount(value);
        if (!isRight || value >= (this.#argLimits[count] as number)) return false;
        putNumber(into, at + (this.#argEnds[count] as number), value);
      }
      count++;
    }
    return count === keys.length;
  }
}

/** The bytes of a template, while they come together. */
class Builder {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  text(text: string): void {
    const part = encoder.encode(text);
    this.#parts.push(part);
    this.#length += part.length;
  }

  /** Returns where they end. */
  spaces(count: number): number {
    this.text(" ".repeat(count));
    return this.#length;
  }

  /** Room for numbers of one digit more than `value`, and for `more` bytes after these. */
  room(value: number, more: number): readonly [end: number, limit: number] {
    const digits = String(Math.floor(value)).length + 1;
    return [this.spaces(digits + more), 10 ** digits];
  }

  bytes(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}

const isCount = (value: number) => value >= 0 && value < NUMBER_MAX && Number.isInteger(value);
const isTime = (us: number) => us >= 0 && us < NUMBER_MAX / 1000;

/** An argument that is part of the template; null: it is a number to be written over. */
function fixed(value: string | number | undefined): string | number | null {
  return typeof value === "number" && isCount(value) ? null : (value ?? null);
}

/** Nanoseconds as three decimals. False: the time is `limit` microseconds or more. */
function putTime(into: Uint8Array, end: number, us: number, limit: number): boolean {
  const ns = Math.round(us * 1000);
  const whole = Math.floor(ns / 1000);
  if (whole >= limit) return false;
  putDigits(into, end, ns - whole * 1000, 3);
  into[end - 4] = POINT;
  putNumber(into, end - 4, whole);
  return true;
}

function putNumber(into: Uint8Array, end: number, value: number): void {
  if (value <= INT_MAX) {
    putDigits(into, end, value, 1);
    return;
  }
  const high = Math.floor(value / BILLION);
  putDigits(into, end, value - high * BILLION, 9);
  putDigits(into, end - 9, high, 1);
}

/** At least that many digits, and all of the number, which is at most INT_MAX. */
function putDigits(into: Uint8Array, end: number, value: number, digitsMin: number): void {
  let at = end;
  let left = value | 0;
  for (let least = digitsMin; least > 0 || left > 0; least--) {
    const tenth = (left / 10) | 0;
    into[--at] = ZERO + left - tenth * 10;
    left = tenth;
  }
}

/** In quotes. */
function putId(into: Uint8Array, end: number, id: string): void {
  let at = end;
  into[--at] = QUOTE;
  for (let i = id.length - 1; i >= 0; i--) into[--at] = id.charCodeAt(i);
  into[--at] = QUOTE;
}
