// Byte ranges (RFC 9110, 14): the parts of a file that a client asks for. A Range field that is
// malformed, or asks for too much, is ignored, which a server may always do (14.2). A leaf.
import { isText } from "./text";
import { skipBlanks } from "./characters";
import { text } from "../../kernel/api";

@unmanaged
export class Range {
  first: u64;
  last: u64; // inclusive

  get length(): u64 {
    return this.last - this.first + 1;
  }
}

export const enum RangeKind {
  Whole, // no usable Range field
  Part, // rangeAt(0)
  Parts, // rangeAt(0) to rangeAt(rangeCount() - 1)
  Unsatisfiable, // 416
}

/** SI11: more parts are not worth their heads. */
export const RANGES_MAX: u32 = 16;
/** While later ones may still join them. */
const OPEN_MAX: u32 = 64;
const RANGE_BYTES = <i32>offsetof<Range>();
const UNIT_BYTES: u32 = 6;
const ABSENT: u64 = u64.MAX_VALUE;
const COMMA: u32 = 0x2c;
const HYPHEN: u32 = 0x2d;

// The ranges that were parsed last.
const ranges: usize = memory.data(64 * RANGE_BYTES, 8);
let count: u32 = 0;
let total: u64 = 0; // bytes of all ranges, before they were joined
let cursor: usize = 0;

/** A range of the last parseRanges(), valid until the next. */
export function rangeAt(i: u32): Range {
  return changetype<Range>(ranges + <usize>i * RANGE_BYTES);
}

/** How many of them there are. */
export function rangeCount(): u32 {
  return count;
}

/**
 * Reads `bytes=first-last, first-, -count`, for a file of `size` bytes. Ranges that overlap or
 * touch become one, in the place of the first; those beyond the end are left out.
 */
export function parseRanges(at: usize, bytes: u32, size: u64): RangeKind {
  const end = at + bytes;
  count = 0;
  total = 0;
  if (bytes < UNIT_BYTES || !isText(at, UNIT_BYTES, text("bytes="))) return RangeKind.Whole;
  cursor = at + UNIT_BYTES;
  let isAny = false;
  while (cursor < end) {
    cursor = skipBlanks(cursor, end);
    if (cursor < end && load<u8>(cursor) != COMMA) {
      if (!readRange(end, size)) return RangeKind.Whole;
      isAny = true;
    }
    cursor++; // past the comma
  }
  if (!isAny) return RangeKind.Whole;
  if (count == 0) return RangeKind.Unsatisfiable;
  if (total > size || count > RANGES_MAX) return RangeKind.Whole;
  return count == 1 ? RangeKind.Part : RangeKind.Parts;
}

/** Reads a range up to the comma after it, or the end. False: it is malformed, or one too many. */
function readRange(end: usize, size: u64): bool {
  const first = number(end);
  if (cursor == end || load<u8>(cursor) != HYPHEN) return false;
  cursor++;
  const last = number(end);
  cursor = skipBlanks(cursor, end);
  if (cursor < end && load<u8>(cursor) != COMMA) return false;
  if (first == ABSENT) return last != ABSENT && (last == 0 || addSuffix(last, size));
  if (last < first) return false;
  return first >= size || add(first, min(last, size - 1));
}

/** A number of digits; ABSENT: there are none. */
function number(end: usize): u64 {
  let value: u64 = ABSENT;
  for (; cursor < end; cursor++) {
    const digit = <u32>load<u8>(cursor) - 0x30;
    if (digit > 9) break;
    if (value == ABSENT) value = 0;
    // Larger than any file: further digits do not matter.
    value = value > 1_000_000_000_000_000_000 ? value : value * 10 + digit;
  }
  return value;
}

function addSuffix(bytes: u64, size: u64): bool {
  return size == 0 || add(bytes >= size ? 0 : size - bytes, size - 1);
}

/** Adds a range, and to it those that it joins. False: there are too many. */
function add(first: u64, last: u64): bool {
  total += last - first + 1;
  let place = count;
  for (let i: u32 = 0; i < count; ) {
    const other = rangeAt(i);
    if (other.first > last + 1 || first > other.last + 1) {
      i++;
      continue;
    }
    first = min(first, other.first);
    last = max(last, other.last);
    place = min(place, i);
    remove(i);
    i = 0; // it may now join one that it did not before
  }
  if (count == OPEN_MAX) return false;
  memory.copy(ranges + <usize>(place + 1) * RANGE_BYTES, ranges + <usize>place * RANGE_BYTES,
    <usize>(count - place) * RANGE_BYTES);
  const range = rangeAt(place);
  range.first = first;
  range.last = last;
  count++;
  return true;
}

function remove(i: u32): void {
  count--;
  memory.copy(ranges + <usize>i * RANGE_BYTES, ranges + <usize>(i + 1) * RANGE_BYTES,
    <usize>(count - i) * RANGE_BYTES);
}
