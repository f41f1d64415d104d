// Numbers of JSON that write over others: from the right, for JSON allows spaces before them.

/** Counts, and milliseconds of times, are below: engines are fast at those. */
const INT_LIMIT = 2 ** 31;
const TIME_LIMIT_NS = 1e15;
const SPACE = 0x20;
const ZERO = 0x30;
const POINT = 0x2e;
const QUOTE = 0x22;

/** The three digits of each number below 1000. */
const DIGITS = new Uint8Array(3000);
for (let n = 0; n < 1000; n++) {
  DIGITS[n * 3] = ZERO + Math.floor(n / 100);
  DIGITS[n * 3 + 1] = ZERO + (Math.floor(n / 10) % 10);
  DIGITS[n * 3 + 2] = ZERO + (n % 10);
}
const HEX = new TextEncoder().encode("0123456789abcdef");

/** Can it be put? */
export const isCount = (value: number) =>
  value >= 0 && value < INT_LIMIT && Number.isInteger(value);

/** Can it be put, in nanoseconds? */
export const isTime = (ns: number) => ns >= 0 && ns < TIME_LIMIT_NS;

// Each puts digits before `end`, and spaces before these from `start` on. The caller makes room.

/** Microseconds with three decimals, of a time below a millisecond. */
export function putShortTime(into: Uint8Array, start: number, end: number, ns: number): void {
  const whole = (ns / 1000) | 0;
  put3(into, end, ns - whole * 1000);
  into[end - 4] = POINT;
  putInt(into, start, end - 4, whole);
}

/** Microseconds below a millisecond, with leading zeros: they follow whole milliseconds. */
export function putTimeRest(into: Uint8Array, end: number, ns: number): void {
  const whole = (ns / 1000) | 0;
  put3(into, end, ns - whole * 1000);
  into[end - 4] = POINT;
  put3(into, end - 4, whole);
}

/** Of a number below INT_LIMIT. */
export function putInt(into: Uint8Array, start: number, end: number, value: number): void {
  let at = end;
  let left = value;
  while (left >= 1000) {
    const thousands = (left / 1000) | 0;
    put3(into, at, left - thousands * 1000);
    left = thousands;
    at -= 3;
  }
  const digits = left * 3;
  into[--at] = DIGITS[digits + 2] as number;
  if (left >= 10) into[--at] = DIGITS[digits + 1] as number;
  if (left >= 100) into[--at] = DIGITS[digits] as number;
  while (at > start) into[--at] = SPACE;
}

function put3(into: Uint8Array, end: number, value: number): void {
  const digits = value * 3;
  into[end - 3] = DIGITS[digits] as number;
  into[end - 2] = DIGITS[digits + 1] as number;
  into[end - 1] = DIGITS[digits + 2] as number;
}

/** In hexadecimal digits and quotes. */
export function putId(into: Uint8Array, start: number, end: number, id: number): void {
  let at = end;
  into[--at] = QUOTE;
  let high = id;
  while (high >= INT_LIMIT) {
    const low = high % 0x10000;
    for (let shift = 0; shift < 16; shift += 4) into[--at] = HEX[(low >> shift) & 15] as number;
    high = Math.floor(high / 0x10000);
  }
  let left = high | 0;
  do {
    into[--at] = HEX[left & 15] as number;
    left >>= 4;
  } while (left > 0);
  into[--at] = QUOTE;
  while (at > start) into[--at] = SPACE;
}
