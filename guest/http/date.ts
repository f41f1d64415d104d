// HTTP dates (RFC 9110, 5.6.7), as seconds since 1970, negative before. Written in the form
// `Sun, 06 Nov 1994 08:49:37 GMT`, 29 bytes; read in the two obsolete forms as well. Leaves.
import { Span, spanAddress, spanBytes, text } from "../../kernel/api";
import { putBytes, putText, putTwo } from "./text";

export const DATE_BYTES: u32 = 29;
/** parseDate: this is not a date. */
export const NO_DATE: i64 = i64.MIN_VALUE;

const DAY: i64 = 86400;
/** Lengths of the two obsolete forms, with the shortest day name. */
const RFC850_BYTES_LEAST: u32 = 30; // Monday, 06-Nov-94 08:49:37 GMT
const ASCTIME_BYTES: u32 = 24; // Sun Nov  6 08:49:37 1994

const DAYS: StaticArray<Span> = [
  text("Thursday"), text("Friday"), text("Saturday"), text("Sunday"), text("Monday"),
  text("Tuesday"), text("Wednesday"),
];
const MONTHS: StaticArray<Span> = [
  text("Jan"), text("Feb"), text("Mar"), text("Apr"), text("May"), text("Jun"),
  text("Jul"), text("Aug"), text("Sep"), text("Oct"), text("Nov"), text("Dec"),
];

/** Days from 1970-01-01 to the first day of `month` (0 to 11) of `year`, from year 0 on. */
function daysTo(year: i32, month: i32): i32 {
  // Years that start in March have the leap day last; adding 400 years keeps all values positive.
  const y = (month < 2 ? year - 1 : year) + 400;
  const m = (month + 10) % 12;
  return 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 - 719468 - 146097;
}

/** Writes the date of `seconds`, in the years 0 to 9999; returns the address after it. */
export function putDate(at: usize, seconds: i64): usize {
  const days = <i32>floorDivide(seconds, DAY);
  const rest = <u32>(seconds - <i64>days * DAY);
  let year = 1970 + <i32>((<i64>days * 400) / 146097);
  while (daysTo(year + 1, 0) <= days) year++;
  while (daysTo(year, 0) > days) year--;
  let month: i32 = 11;
  while (daysTo(year, month) > days) month--;
  const day = unchecked(DAYS[((days % 7) + 7) % 7]);
  at = putBytes(at, spanAddress(day), 3); // the first three letters of a day
  at = putText(at, text(", "));
  at = putTwo(at, <u32>(days - daysTo(year, month)) + 1);
  at = putText(at, text(" "));
  at = putText(at, unchecked(MONTHS[month]));
  at = putText(at, text(" "));
  at = putTwo(at, <u32>year / 100);
  at = putTwo(at, <u32>year % 100);
  at = putText(at, text(" "));
  at = putTwo(at, rest / 3600);
  at = putText(at, text(":"));
  at = putTwo(at, (rest / 60) % 60);
  at = putText(at, text(":"));
  at = putTwo(at, rest % 60);
  return putText(at, text(" GMT"));
}

export function floorDivide(value: i64, by: i64): i64 {
  return value >= 0 ? value / by : -((by - 1 - value) / by);
}

const BAD: u32 = 0xffff_ffff;

function number(at: usize, digits: u32): u32 {
  let value: u32 = 0;
  for (let i: u32 = 0; i < digits; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    if (digit > 9) return BAD;
    value = value * 10 + digit;
  }
  return value;
}

/** A number of two digits, the first of which may be a space. */
function padded(at: usize): u32 {
  return load<u8>(at) == 0x20 ? number(at + 1, 1) : number(at, 2);
}

/** The date at `at` in any of the three forms, or NO_DATE. `now` places a year of two digits. */
export function parseDate(at: usize, bytes: u32, now: i64): i64 {
  const end = at + bytes;
  if (bytes == ASCTIME_BYTES) {
    if (!isDay(at, 3) || load<u8>(at, 3) != 0x20 || load<u8>(at, 7) != 0x20) return NO_DATE;
    if (load<u8>(at, 10) != 0x20 || load<u8>(at, 19) != 0x20) return NO_DATE;
    return join(number(at + 20, 4), monthAt(at + 4), padded(at + 8), at + 11);
  }
  if (bytes < DATE_BYTES || !isText(end - 4, text(" GMT"))) return NO_DATE;
  if (bytes == DATE_BYTES && load<u8>(at, 3) == 0x2c) {
    if (!isDay(at, 3) || load<u8>(at, 4) != 0x20 || load<u8>(at, 7) != 0x20) return NO_DATE;
    if (load<u8>(at, 11) != 0x20 || load<u8>(at, 16) != 0x20) return NO_DATE;
    return join(number(at + 12, 4), monthAt(at + 8), number(at + 5, 2), at + 17);
  }
  if (bytes < RFC850_BYTES_LEAST) return NO_DATE;
  const day = end - 24; // `, 06-Nov-94 08:49:37 GMT`
  if (!isDay(at, <u32>(day - at)) || !isText(day, text(", "))) return NO_DATE;
  if (load<u8>(day, 4) != 0x2d || load<u8>(day, 8) != 0x2d || load<u8>(day, 11) != 0x20) {
    return NO_DATE;
  }
  return joinCentury(number(day + 9, 2), monthAt(day + 5), number(day + 2, 2), day + 12, now);
}

/** A date more than 50 years ahead is in the past (RFC 9110, 5.6.7). */
function joinCentury(short: u32, month: i32, day: u32, time: usize, now: i64): i64 {
  if (short == BAD) return NO_DATE;
  const limit = now + 50 * 31_556_952; // mean Gregorian years
  for (let century: u32 = 2900; century >= 1900; century -= 100) {
    const seconds = join(century + short, month, day, time);
    if (seconds != NO_DATE && seconds <= limit) return seconds;
  }
  return NO_DATE;
}

/** The moment of a date and the `hh:mm:ss` at `time`; NO_DATE if a part is out of range. */
function join(year: u32, month: i32, day: u32, time: usize): i64 {
  const hour = number(time, 2);
  const minute = number(time + 3, 2);
  const second = number(time + 6, 2);
  if (load<u8>(time, 2) != 0x3a || load<u8>(time, 5) != 0x3a) return NO_DATE;
  if (year == BAD || month < 0 || hour > 23 || minute > 59 || second > 60) return NO_DATE;
  const y = <i32>year;
  const first = daysTo(y, month);
  const next = month == 11 ? daysTo(y + 1, 0) : daysTo(y, month + 1);
  if (day - 1 >= <u32>(next - first)) return NO_DATE;
  return (<i64>first + day - 1) * DAY + hour * 3600 + minute * 60 + second;
}

function monthAt(at: usize): i32 {
  for (let month = 0; month < 12; month++) if (isText(at, unchecked(MONTHS[month]))) return month;
  return -1;
}

/** Is [at, at + bytes) the name of a day, whole or its first three letters? */
function isDay(at: usize, bytes: u32): bool {
  for (let i = 0; i < 7; i++) {
    const name = unchecked(DAYS[i]);
    if ((bytes == 3 || bytes == spanBytes(name)) && isPrefix(at, bytes, name)) return true;
  }
  return false;
}

function isText(at: usize, s: Span): bool {
  return isPrefix(at, spanBytes(s), s);
}

/** Are the bytes at `at` the first ones of the text? Names are case-sensitive. */
function isPrefix(at: usize, bytes: u32, s: Span): bool {
  return memory.compare(at, spanAddress(s), bytes) == 0;
}
