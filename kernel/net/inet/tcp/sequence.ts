// Sequence numbers (RFC 9293, 3.4): 32 bits that wrap, compared by their distance.

export function isBefore(a: u32, b: u32): bool {
  return <i32>(a - b) < 0;
}

export function isAfter(a: u32, b: u32): bool {
  return <i32>(a - b) > 0;
}

export function later(a: u32, b: u32): u32 {
  return isBefore(a, b) ? b : a;
}

export function earlier(a: u32, b: u32): u32 {
  return isBefore(a, b) ? a : b;
}
