// HTTP dates (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`, 29 bytes. Leaves.
import { putNumber, putText, putTwo } from "./text";

export const DATE_BYTES: u32 = 29;

const DAY: u64 = 86400;
const NAMES: StaticArray<string> = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: StaticArray<string> = [
  "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/** Days from 1970-01-01 to the first day of `month` (0 to 11) of `year`. */
function daysTo(year: u32, month: u32): u32 {
  // Years that begin in March put the leap day last.
  const y = month < 2 ? year - 1 : year;
  const m = (month + 10) % 12;
  return 365 * y + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 - 719468;
}

/**
 * Writes the date of `seconds` since 1970, before the year 10000; returns the address behind it.
 */
export function putDate(at: usize, seconds: u64): usize {
  const days = <u32>(seconds / DAY);
  const rest = <u32>(seconds % DAY);
  let year = 1970 + <u32>((<u64>days * 400) / 146097);
  while (daysTo(year + 1, 0) <= days) year++;
  while (daysTo(year, 0) > days) year--;
  let month: u32 = 11;
  while (daysTo(year, month) > days) month--;
  at = putText(at, unchecked(NAMES[days % 7]));
  at = putText(at, ", ");
  at = putTwo(at, days - daysTo(year, month) + 1);
  at = putText(at, " ");
  at = putText(at, unchecked(MONTHS[month]));
  at = putText(at, " ");
  at = putNumber(at, year);
  at = putText(at, " ");
  at = putTwo(at, rest / 3600);
  at = putText(at, ":");
  at = putTwo(at, (rest / 60) % 60);
  at = putText(at, ":");
  at = putTwo(at, rest % 60);
  return putText(at, " GMT");
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

/**
 * Seconds since 1970 of a date in the form above, or -1. The two obsolete forms are not read: a
 * client that sends one is answered in full.
 */
export function parseDate(at: usize, bytes: u32): i64 {
  if (bytes != DATE_BYTES || load<u8>(at, 3) != 0x2c) return -1;
  const day = number(at + 5, 2);
  const year = number(at + 12, 4);
  const hour = number(at + 17, 2);
  const minute = number(at + 20, 2);
  const second = number(at + 23, 2);
  let month: u32 = 0;
  while (month < 12 && !isMonth(at + 8, month)) month++;
  if (day - 1 > 30 || month == 12 || year == BAD || year < 1970) return -1;
  if (hour > 23 || minute > 59 || second > 60) return -1;
  const days = daysTo(year, month) + day - 1;
  return <i64>days * <i64>DAY + hour * 3600 + minute * 60 + second;
}

function isMonth(at: usize, month: u32): bool {
  const name = changetype<usize>(unchecked(MONTHS[month]));
  return (
    load<u8>(at) == <u8>load<u16>(name) &&
    load<u8>(at, 1) == <u8>load<u16>(name, 2) &&
    load<u8>(at, 2) == <u8>load<u16>(name, 4)
  );
}
