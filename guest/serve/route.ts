// Patterns of paths: `/notes/:id` names a part, a `*` at the end stands for any rest. Leaves, and
// nothing is allocated: paths are compared as the bytes that came.
import { span, Span, spanAddress, spanBytes } from "../../kernel/api";

const SLASH: i32 = 0x2f;
const COLON: i32 = 0x3a;
const STAR: i32 = 0x2a;

/** Does the pattern fit the path? */
export function fits(pattern: string, path: Span): bool {
  let at = spanAddress(path);
  const end = at + spanBytes(path);
  let i = 0;
  while (i < pattern.length) {
    const c = pattern.charCodeAt(i);
    if (c == STAR && i + 1 == pattern.length) return true;
    if (c == COLON && isPartStart(pattern, i)) {
      const start = at;
      while (at < end && load<u8>(at) != SLASH) at++;
      if (at == start) return false;
      while (i < pattern.length && pattern.charCodeAt(i) != SLASH) i++;
      continue;
    }
    if (at == end || <i32>load<u8>(at) != c) return false;
    at++;
    i++;
  }
  return at == end;
}

/** The part of a path that fits, which stands for `:name`; empty if there is none. */
export function parameterOf(pattern: string, path: Span, name: string): Span {
  let at = spanAddress(path);
  const end = at + spanBytes(path);
  let i = 0;
  while (i < pattern.length && at < end) {
    if (pattern.charCodeAt(i) != COLON || !isPartStart(pattern, i)) {
      at++;
      i++;
      continue;
    }
    const start = at;
    while (at < end && load<u8>(at) != SLASH) at++;
    const nameStart = i + 1;
    while (i < pattern.length && pattern.charCodeAt(i) != SLASH) i++;
    if (isSlice(pattern, nameStart, i, name)) return span(start, <u32>(at - start));
  }
  return span(0, 0);
}

function isPartStart(pattern: string, i: i32): bool {
  return i != 0 && pattern.charCodeAt(i - 1) == SLASH;
}

function isSlice(text: string, start: i32, end: i32, slice: string): bool {
  if (end - start != slice.length) return false;
  for (let i = 0; i < slice.length; i++) {
    if (text.charCodeAt(start + i) != slice.charCodeAt(i)) return false;
  }
  return true;
}
