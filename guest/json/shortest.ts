// The shortest decimal that reads back as the same double, and the nearest one if there are
// several, as JSON.stringify writes it (ECMA-262, Number::toString). Free-format printing after
// Burger and Dybvig, "Printing Floating-Point Numbers Quickly and Accurately". Leaves.
import { putNumber } from "../http/text";
import { BIG_NUMBER_BYTES, BigNumber } from "./big-number";

/** The most bytes that putShortest() writes. */
export const SHORTEST_BYTES_MAX: u32 = 32;

const INTEGER_MAX: f64 = 9007199254740992; // 2^53
/** Below it a decimal of few places is the only one of its length that reads back. */
const SCALED_MAX: f64 = 1125899906842624; // 2^50
const PLACES_MAX: i32 = 6;

const numbers: usize = memory.data(5 * 708);
const rest = changetype<BigNumber>(numbers);
const unit = changetype<BigNumber>(numbers + BIG_NUMBER_BYTES);
const below = changetype<BigNumber>(numbers + 2 * BIG_NUMBER_BYTES);
const above = changetype<BigNumber>(numbers + 3 * BIG_NUMBER_BYTES);
const sum = changetype<BigNumber>(numbers + 4 * BIG_NUMBER_BYTES);

const digits: usize = memory.data(24);

/** Writes a finite number; returns the address after it. */
export function putShortest(to: usize, value: f64): usize {
  if (value < 0) {
    store<u8>(to++, 0x2d);
    value = -value;
  }
  if (value < INTEGER_MAX && value == Math.floor(value)) return putNumber(to, <u64>value);
  let scale: f64 = 1;
  for (let places = 1; places <= PLACES_MAX; places++) {
    scale *= 10;
    const scaled = Math.round(value * scale);
    if (scaled >= SCALED_MAX) break;
    if (scaled >= 1 && scaled / scale == value) {
      const end = putNumber(digits, <u64>scaled);
      const count = <i32>(end - digits);
      return putDigits(to, count, count - places);
    }
  }
  const count = generate(value);
  return putDigits(to, count, position);
}

/** Where the point stands: the value is 0.digits * 10^position. */
let position: i32 = 0;

/** Fills `digits`; returns how many. */
function generate(value: f64): i32 {
  const word = reinterpret<u64>(value);
  const fraction = word & ((1 << 52) - 1);
  const biased = <i32>(word >> 52);
  const mantissa = biased == 0 ? fraction : fraction | (1 << 52);
  const exponent = max(biased, 1) - 1075;
  const even = (mantissa & 1) == 0;
  // Below a power of two doubles are twice as close.
  const closer = fraction == 0 && biased > 1;
  const up: u32 = closer ? 2 : 1;
  rest.set(mantissa << up);
  unit.set(<u64>1 << up);
  below.set(1);
  above.set(closer ? 2 : 1);
  if (exponent >= 0) {
    rest.shiftLeft(exponent);
    below.shiftLeft(exponent);
    above.shiftLeft(exponent);
  } else {
    unit.shiftLeft(-exponent);
  }
  const bits = 64 - <i32>clz(mantissa);
  position = <i32>Math.ceil(<f64>(exponent + bits - 1) * 0.30102999566398114 - 1e-10);
  if (position >= 0) {
    unit.multiplyByPowerOfTen(position);
  } else {
    rest.multiplyByPowerOfTen(-position);
    below.multiplyByPowerOfTen(-position);
    above.multiplyByPowerOfTen(-position);
  }
  if (reaches(even)) position++;
  else multiplyByTen();
  let count = 0;
  while (true) {
    let digit: u32 = 0;
    while (rest.compare(unit) >= 0) {
      rest.subtract(unit);
      digit++;
    }
    const low = rest.compare(below);
    const isLow = low < 0 || (even && low == 0);
    const isHigh = reaches(even);
    if (isLow || isHigh) {
      const stays = isLow && (!isHigh || isBelowHalf(digit));
      store<u8>(digits + count++, 0x30 + digit + (stays ? 0 : 1));
      return count;
    }
    store<u8>(digits + count++, 0x30 + digit);
    multiplyByTen();
  }
}

/** Is rest + above at least a unit? An exact half belongs to the even mantissa. */
function reaches(even: bool): bool {
  sum.copy(rest);
  sum.add(above);
  const order = sum.compare(unit);
  return order > 0 || (even && order == 0);
}

/** Is the lower digit the nearer one, or as near and even? */
function isBelowHalf(digit: u32): bool {
  rest.shiftLeft(1);
  const order = rest.compare(unit);
  return order < 0 || (order == 0 && (digit & 1) == 0);
}

function multiplyByTen(): void {
  rest.multiplyAdd(10, 0);
  below.multiplyAdd(10, 0);
  above.multiplyAdd(10, 0);
}

/** Writes 0.digits * 10^point as ECMA-262 has it. */
function putDigits(to: usize, count: i32, point: i32): usize {
  if (point > 21 || point <= -6) return putExponential(to, count, point - 1);
  if (point <= 0) {
    store<u8>(to++, 0x30);
    store<u8>(to++, 0x2e);
    for (; point < 0; point++) store<u8>(to++, 0x30);
    return copyDigits(to, 0, count);
  }
  to = copyDigits(to, 0, min(point, count));
  for (let i = count; i < point; i++) store<u8>(to++, 0x30);
  if (point >= count) return to;
  store<u8>(to++, 0x2e);
  return copyDigits(to, point, count);
}

function putExponential(to: usize, count: i32, exponent: i32): usize {
  to = copyDigits(to, 0, 1);
  if (count > 1) {
    store<u8>(to++, 0x2e);
    to = copyDigits(to, 1, count);
  }
  store<u8>(to++, 0x65);
  store<u8>(to++, exponent < 0 ? 0x2d : 0x2b);
  return putNumber(to, abs(exponent));
}

function copyDigits(to: usize, from: i32, until: i32): usize {
  memory.copy(to, digits + from, until - from);
  return to + (until - from);
}
