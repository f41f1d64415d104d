// Byte ranges (RFC 9110, 14). One range is served; several ranges and other units are answered with
// the whole file, which a client must accept. A leaf.

@unmanaged
export class Range {
  first: u64;
  last: u64; // inclusive
}

export const enum RangeKind {
  Whole, // no usable Range header
  Part, // the range is filled in
  Unsatisfiable, // 416
}

const ABSENT: u64 = u64.MAX_VALUE;
let cursor: usize = 0;

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

/** Reads `bytes=first-last`, `bytes=first-` or `bytes=-count` for a file of `size` bytes. */
export function parseRange(at: usize, bytes: u32, size: u64, range: Range): RangeKind {
  const end = at + bytes;
  const unit = bytes >= 7 && load<u32>(at) == 0x65747962 && load<u16>(at, 4) == 0x3d73; // bytes=
  if (!unit) return RangeKind.Whole;
  cursor = at + 6;
  const first = number(end);
  if (cursor == end || load<u8>(cursor) != 0x2d) return RangeKind.Whole;
  cursor++;
  const last = number(end);
  if (cursor != end || (first == ABSENT && last == ABSENT)) return RangeKind.Whole;
  if (first == ABSENT) {
    if (last == 0 || size == 0) return RangeKind.Unsatisfiable;
    range.first = last >= size ? 0 : size - last;
    range.last = size - 1;
    return RangeKind.Part;
  }
  if (last != ABSENT && last < first) return RangeKind.Whole;
  if (first >= size) return RangeKind.Unsatisfiable;
  range.first = first;
  range.last = last >= size ? size - 1 : last;
  return RangeKind.Part;
}
