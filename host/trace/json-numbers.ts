// JSON of which parts are written over: numbers and ids are put from the right, for JSON allows
// spaces before them.

/** Numbers up to here have digits, and nothing else. */
const NUMBER_MAX = 1e15;
/** The same for times, which have decimals of microseconds. */
export const TIME_MAX_NS = NUMBER_MAX;
const BILLION = 1e9;
const INT_MAX = 0x7fffffff;
const ZERO = 0x30;
const POINT = 0x2e;
const QUOTE = 0x22;

const encoder = new TextEncoder();

/** The bytes of a template, while they come together. */
export class JsonBuilder {
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

export const isCount = (value: number) =>
  value >= 0 && value < NUMBER_MAX && Number.isInteger(value);

/** Microseconds with three decimals. False: the time is `limit` microseconds or more. */
export function putTime(into: Uint8Array, end: number, ns: number, limit: number): boolean {
  const whole = Math.floor(ns / 1000);
  if (whole >= limit) return false;
  putDigits(into, end, ns - whole * 1000, 3);
  into[end - 4] = POINT;
  putNumber(into, end - 4, whole);
  return true;
}

export function putNumber(into: Uint8Array, end: number, value: number): void {
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
export function putId(into: Uint8Array, end: number, id: string): void {
  let at = end;
  into[--at] = QUOTE;
  for (let i = id.length - 1; i >= 0; i--) into[--at] = id.charCodeAt(i);
  into[--at] = QUOTE;
}
