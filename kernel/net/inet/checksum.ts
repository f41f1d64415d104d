// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of words. The
// sum does not depend on the order of bytes, so words are added as they lie in memory.

/** The checksum as it is stored. Over bytes that contain their own, and are intact, it is 0. */
export function checksum(address: usize, bytes: u32): u16 {
  return ~fold(sumBytes(address, bytes));
}

/**
 * The same over a segment or datagram with its pseudo header (RFC 768, RFC 9293, 3.1). Addresses
 * are numbers, their first octet the highest.
 */
export function transportChecksum(
  source: u32,
  destination: u32,
  protocol: u32,
  address: usize,
  bytes: u32,
): u16 {
  const sum: u64 = <u64>bswap<u32>(source) + bswap<u32>(destination);
  const rest = bswap<u16>(<u16>protocol) + <u32>bswap<u16>(<u16>bytes);
  return ~fold(sum + rest + sumBytes(address, bytes));
}

/** A sum of words, of any width: fold() makes one of 16 bits of it. */
export function sumBytes(address: usize, bytes: u32): u64 {
  let sum: u64 = 0;
  let at = address;
  const blocks = address + (bytes & ~31);
  for (; at < blocks; at += 32) {
    const a = load<u64>(at);
    const b = load<u64>(at, 8);
    const c = load<u64>(at, 16);
    const d = load<u64>(at, 24);
    sum += (a & HALF) + (a >> 32) + (b & HALF) + (b >> 32);
    sum += (c & HALF) + (c >> 32) + (d & HALF) + (d >> 32);
  }
  const words = address + (bytes & ~3);
  for (; at < words; at += 4) sum += load<u32>(at);
  if ((bytes & 2) != 0) {
    sum += load<u16>(at);
    at += 2;
  }
  if ((bytes & 1) != 0) sum += load<u8>(at); // an odd byte is the lower half of a word
  return sum;
}

const HALF: u64 = 0xffff_ffff;

/** The sum as one word, not inverted. */
export function fold(sum: u64): u16 {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return <u16>sum;
}

/** `sum` and that of bytes which follow an odd number of others: their words are shifted by one. */
export function addOdd(sum: u64, bytes: u64): u64 {
  return sum + <u64>bswap<u16>(fold(bytes));
}
