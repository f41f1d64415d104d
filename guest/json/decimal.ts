// The double nearest to a decimal of any length, as JSON.parse has it. Leaves: one big number in
// static memory serves all threads.
import { BIG_NUMBER_BYTES, BigNumber } from "./big-number";

/** Digits after which only whether any is not zero matters: no double lies as close to a half. */
const DIGITS_MAX: u32 = 800;
const MANTISSA_BITS: i32 = 53;
const EXPONENT_MIN: i32 = -1074; // of the last bit of a subnormal
const EXPONENT_MAX: i32 = 971; // of the last bit of the largest double

const bigMemory: usize = memory.data(BIG_NUMBER_BYTES);
const big = changetype<BigNumber>(bigMemory);

/** Powers of ten that doubles hold exactly: 10^0 to 10^22. */
const POWERS: StaticArray<f64> = [
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

function powerOfTen(exponent: u32): f64 {
  return unchecked(POWERS[exponent]);
}

/** The double nearest to the JSON number in the `bytes` bytes at `at`; infinite beyond them. */
export function parseDecimal(at: usize, bytes: u32): f64 {
  const end = at + bytes;
  const negative = load<u8>(at) == 0x2d;
  let p = at + (negative ? 1 : 0);
  let mantissa: u64 = 0; // of the first 19 digits
  let digits: u32 = 0; // leading zeros apart
  let point: i32 = 0; // digits after the point
  let fraction = false;
  const first = p;
  for (; p < end; p++) {
    const c: u32 = load<u8>(p);
    if (c == 0x2e) {
      fraction = true;
      continue;
    }
    const digit = c - 0x30;
    if (digit > 9) break;
    if (fraction) point++;
    if (digits == 0 && digit == 0) continue;
    if (digits < 19) mantissa = mantissa * 10 + digit;
    digits++;
  }
  const last = p;
  const exponent = parseExponent(p, end) - point;
  const value = digits == 0 ? 0 : nearest(mantissa, digits, exponent, first, last);
  return negative ? -value : value;
}

/** `e` or `E`, a sign, digits; 0 if there is none. Beyond 100,000 the number is 0 or infinite. */
function parseExponent(p: usize, end: usize): i32 {
  if (p == end) return 0;
  p++;
  const sign: u32 = load<u8>(p);
  if (sign == 0x2b || sign == 0x2d) p++;
  let exponent: i32 = 0;
  for (; p < end; p++) if (exponent < 10_000_000) exponent = exponent * 10 + (load<u8>(p) - 0x30);
  return sign == 0x2d ? -exponent : exponent;
}

function nearest(mantissa: u64, digits: u32, exponent: i32, first: usize, last: usize): f64 {
  if (digits <= 19 && mantissa <= 1 << MANTISSA_BITS && exponent >= -22 && exponent <= 22) {
    // Both are exact, and so one operation rounds once.
    if (exponent < 0) return <f64>mantissa / powerOfTen(-exponent);
    return <f64>mantissa * powerOfTen(exponent);
  }
  const magnitude = exponent + <i32>digits; // the value is below 10^magnitude
  if (magnitude > 310) return Infinity;
  if (magnitude < -330) return 0;
  // The digits as a whole number; those beyond the limit count as one that is not zero.
  big.clear();
  let taken: u32 = 0;
  let sticky = false;
  for (let p = first; p < last; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9 || (taken == 0 && digit == 0)) continue;
    if (taken < DIGITS_MAX) big.multiplyAdd(10, digit);
    else if (digit != 0) sticky = true;
    taken++;
  }
  let power = exponent + <i32>(taken - min(taken, DIGITS_MAX));
  for (; power > 0; power -= min(power, 9)) big.multiplyAdd(<u32>powerOfTen(min(power, 9)), 0);
  let shift: i32 = 0; // the value is big * 2^shift
  if (power < 0) {
    // Divided by 5^-power, with bits to spare, and by 2^-power.
    shift = power;
    const spare = <i32>(<f64>-power * 2.33) + 66;
    big.shiftLeft(spare);
    shift -= spare;
    while (power < 0) {
      const step = min(-power, 13);
      let divisor: u32 = 1;
      for (let i = 0; i < step; i++) divisor *= 5;
      if (big.divide(divisor) != 0) sticky = true;
      power += step;
    }
  }
  return round(shift, sticky);
}

/** The double nearest to big * 2^shift, and a bit more if `sticky`; ties go to the even one. */
function round(shift: i32, sticky: bool): f64 {
  const bits = big.bits();
  let drop = bits - MANTISSA_BITS;
  if (shift + drop < EXPONENT_MIN) drop = EXPONENT_MIN - shift;
  let mantissa: u64;
  if (drop <= 0) {
    mantissa = big.low64() << -drop;
  } else {
    mantissa = big.bitsFrom(drop);
    const half = big.bit(drop - 1);
    const rest = sticky || big.anyBelow(drop - 1);
    if (half && (rest || (mantissa & 1) != 0)) mantissa++;
  }
  let exponent = shift + drop;
  if (mantissa == 1 << MANTISSA_BITS) {
    mantissa >>= 1;
    exponent++;
  }
  if (exponent > EXPONENT_MAX) return Infinity;
  const isNormal = mantissa >= 1 << (MANTISSA_BITS - 1);
  const biased: u64 = isNormal ? <u64>(exponent - EXPONENT_MIN + 1) : 0;
  return reinterpret<f64>((biased << 52) | (mantissa & ((1 << 52) - 1)));
}
