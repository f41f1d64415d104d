// Events of one kind as JSON. They differ in a few numbers only, so the bytes of the last one are
// kept, and the numbers that differ from it are written over.
import type { EventKind, Flow } from "./event.ts";
import { EVENT_NUMBERS, EventNumber } from "./event-batch.ts";
import { putId, putInt, putShortTime, putTimeRest } from "./json-numbers.ts";

const MILLISECOND_NS = 1e6;
/** Of a time: the point and three decimals. */
const DECIMALS = 4;
/** The same with three digits of whole microseconds. */
const REST = 7;
const QUOTES = 2;
// Parts of a template's rooms: their beginnings, their ends, and what is there; -1: nothing yet.
const ENDS = EVENT_NUMBERS;
const LAST = 2 * EVENT_NUMBERS;
const SPACE = " ";

const encoder = new TextEncoder();

export class KindTemplate {
  /** Begins with what separates two events. */
  readonly bytes: Uint8Array;
  readonly #limits: Float64Array; // by EventNumber: the least that there is no room for
  // By EventNumber: where a number may be, and what is there.
  readonly #rooms = new Int32Array(3 * EVENT_NUMBERS);
  readonly #hasDuration: boolean;
  readonly #hasFlow: boolean;
  readonly #arguments: number;

  /** Of events with such a flow: none, one that goes on, or one that begins (negative). */
  constructor(
    { name, ph, pid, cat, keys, constants }: EventKind,
    flow: Flow,
    digits: readonly number[],
  ) {
    const isSlice = ph === "X";
    let text = "";
    let at = 0; // in bytes
    const put = (part: string) => {
      text += part;
      at += encoder.encode(part).length;
    };
    const room = (key: string, field: number, more = 0) => {
      put(key);
      this.#rooms[field] = at;
      put(SPACE.repeat((digits[field] as number) + more));
      this.#rooms[ENDS + field] = at;
    };
    put(`,\n{"name":${JSON.stringify(name)},"ph":"${ph}"`);
    room(',"ts":', EventNumber.since, DECIMALS);
    room(`,"pid":${pid},"tid":`, EventNumber.tid);
    if (isSlice) room(',"dur":', EventNumber.dur, DECIMALS);
    if (cat !== undefined) put(`,"cat":${JSON.stringify(cat)}`);
    if (ph === "i") put(',"s":"t"');
    if (flow !== 0) room(isSlice ? ',"bind_id":' : ',"id":', EventNumber.flow, QUOTES);
    if (flow !== 0 && isSlice) put(`,"flow_in":${flow > 0},"flow_out":true`);
    let separator = ',"args":{';
    for (const [key, value] of Object.entries(constants)) {
      put(`${separator}${JSON.stringify(key)}:${JSON.stringify(value)}`);
      separator = ",";
    }
    keys.forEach((key, i) => {
      room(`${separator}${JSON.stringify(key)}:`, EventNumber.a + i);
      separator = ",";
    });
    put(separator === "," ? "}}" : "}");
    this.bytes = encoder.encode(text);
    this.#rooms.fill(-1, LAST);
    this.#limits = limitsOf(digits);
    this.#hasDuration = isSlice;
    this.#hasFlow = flow !== 0;
    this.#arguments = keys.length;
  }

  /** Is there room for the event at `at` of `numbers`? */
  fits(numbers: Float64Array, at: number): boolean {
    const limits = this.#limits;
    for (let i = 0; i < EVENT_NUMBERS; i++) {
      if (Math.abs(numbers[at + i] as number) >= (limits[i] as number)) return false;
    }
    return true;
  }

  /** Writes an event that fits. */
  put(numbers: Float64Array, at: number): void {
    const args = this.#arguments;
    this.#putTime(EventNumber.since, numbers, at);
    this.#putCount(EventNumber.tid, numbers, at);
    if (this.#hasDuration) this.#putTime(EventNumber.dur, numbers, at);
    if (this.#hasFlow) this.#putFlow(numbers, at);
    if (args > 0) this.#putCount(EventNumber.a, numbers, at);
    if (args > 1) this.#putCount(EventNumber.b, numbers, at);
    if (args > 2) this.#putCount(EventNumber.c, numbers, at);
  }

  #putCount(field: number, numbers: Float64Array, at: number): void {
    const value = (numbers[at + field] as number) | 0;
    const rooms = this.#rooms;
    if (value === rooms[LAST + field]) return;
    rooms[LAST + field] = value;
    putInt(this.bytes, rooms[field] as number, rooms[ENDS + field] as number, value);
  }

  /** Microseconds with three decimals. Whole milliseconds are mostly the same as before. */
  #putTime(field: number, numbers: Float64Array, at: number): void {
    const ns = numbers[at + field] as number;
    const rooms = this.#rooms;
    const start = rooms[field] as number;
    const end = rooms[ENDS + field] as number;
    const milliseconds = Math.floor(ns / MILLISECOND_NS) | 0;
    const restNs = (ns - milliseconds * MILLISECOND_NS) | 0;
    if (milliseconds === 0) {
      putShortTime(this.bytes, start, end, restNs);
    } else {
      putTimeRest(this.bytes, end, restNs);
      if (milliseconds !== rooms[LAST + field]) putInt(this.bytes, start, end - REST, milliseconds);
    }
    rooms[LAST + field] = milliseconds;
  }

  #putFlow(numbers: Float64Array, at: number): void {
    const id = Math.abs(numbers[at + EventNumber.flow] as number);
    const rooms = this.#rooms;
    const end = rooms[ENDS + EventNumber.flow] as number;
    putId(this.bytes, rooms[EventNumber.flow] as number, end, id);
  }
}

/** Templates of a kind, as they are needed. Their rooms grow with the numbers. */
export class KindTemplates {
  readonly #kind: EventKind;
  readonly #digits: number[] = Array.from({ length: EVENT_NUMBERS }, () => 0);
  #plain: KindTemplate | null = null;
  #goesOn: KindTemplate | null = null;
  #begins: KindTemplate | null = null;

  constructor(kind: EventKind) {
    this.#kind = kind;
  }

  /** The event, of an EventBatch. It is valid until the next one of the kind. */
  put(numbers: Float64Array, at: number): Uint8Array {
    const flow = numbers[at + EventNumber.flow] as Flow;
    let template = flow === 0 ? this.#plain : flow > 0 ? this.#goesOn : this.#begins;
    if (template === null || !template.fits(numbers, at)) {
      template = new KindTemplate(this.#kind, flow, this.#digitsFor(numbers, at));
      if (flow === 0) this.#plain = template;
      else if (flow > 0) this.#goesOn = template;
      else this.#begins = template;
    }
    template.put(numbers, at);
    return template.bytes;
  }

  /** One more than it has, so that a number that grows does not need another template soon. */
  #digitsFor(numbers: Float64Array, at: number): readonly number[] {
    this.#digits.forEach((least, field) => {
      const value = Math.floor(Math.abs(numbers[at + field] as number) / unitOf(field));
      const digits = value.toString(baseOf(field)).length + 1;
      this.#digits[field] = Math.max(least, digits);
    });
    return this.#digits;
  }
}

const hasDecimals = (field: number) => field === EventNumber.since || field === EventNumber.dur;
const unitOf = (field: number) => (hasDecimals(field) ? 1000 : 1);
const baseOf = (field: number) => (field === EventNumber.flow ? 16 : 10);

function limitsOf(digits: readonly number[]): Float64Array {
  return Float64Array.from(digits, (count, field) => baseOf(field) ** count * unitOf(field));
}
