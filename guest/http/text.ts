// Writing text into a buffer. Leaves: they run for every response and never yield.
import { Span, spanAddress, spanBytes } from "../../kernel/api";

/** Writes a text; returns the address after it. */
export function putText(at: usize, s: Span): usize {
  let from = spanAddress(s);
  const bytes = spanBytes(s);
  const end = at + bytes;
  // In words: the texts of a head are short, and memory.copy costs a call of the engine.
  for (; at + 8 <= end; at += 8, from += 8) store<u64>(at, load<u64>(from));
  if (bytes & 4) {
    store<u32>(at, load<u32>(from));
    at += 4;
    from += 4;
  }
  if (bytes & 2) {
    store<u16>(at, load<u16>(from));
    at += 2;
    from += 2;
  }
  if (bytes & 1) store<u8>(at, load<u8>(from));
  return end;
}

export function putBytes(at: usize, from: usize, bytes: u32): usize {
  memory.copy(at, from, bytes);
  return at + bytes;
}

export function putNumber(at: usize, value: u64): usize {
  let digits: u32 = 1;
  for (let rest = value / 10; rest != 0; rest /= 10) digits++;
  const end = at + digits;
  for (let p = end; p != at; value /= 10) store<u8>(--p, 0x30 + <u32>(value % 10));
  return end;
}

/** Two decimal digits. */
export function putTwo(at: usize, value: u32): usize {
  store<u8>(at, 0x30 + value / 10);
  store<u8>(at, 0x30 + (value % 10), 1);
  return at + 2;
}

export function putHex(at: usize, value: u64): usize {
  let shift: i32 = 60;
  while (shift > 0 && value >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) {
    const digit = <u32>(value >> shift) & 15;
    store<u8>(at++, digit < 10 ? 0x30 + digit : 0x57 + digit);
  }
  return at;
}

/** The value of a hexadecimal digit; 16: it is none. */
export function hexDigit(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30;
  const letter = (c | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : 16;
}

export function lower(byte: u32): u32 {
  return byte - 0x41 < 26 ? byte | 0x20 : byte;
}

/** Are these bytes the text (given in lower case), whatever their case? */
export function isText(at: usize, bytes: u32, s: Span): bool {
  if (bytes != spanBytes(s)) return false;
  const from = spanAddress(s);
  for (let i: u32 = 0; i < bytes; i++) {
    if (lower(load<u8>(at + i)) != <u32>load<u8>(from + i)) return false;
  }
  return true;
}

export function isSame(a: usize, aBytes: u32, b: usize, bBytes: u32): bool {
  return aBytes == bBytes && memory.compare(a, b, aBytes) == 0;
}
