// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of words. The
// sum does not depend on the order of bytes, so words are added as they lie in memory.

/** The checksum as it is stored. Over bytes that contain their own, and are intact, it is 0. */
export function checksum(address: usize, bytes: u32): u16 {
  return ~fold(sumOf(address, bytes));
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
  return ~fold(sum + rest + sumOf(address, bytes));
}

function sumOf(address: usize, bytes: u32): u64 {
  let sum: u64 = 0;
  let at = address;
  const words = address + (bytes & ~3);
  for (; at < words; at += 4) sum += load<u32>(at);
  if ((bytes & 2) != 0) {
    sum += load<u16>(at);
    at += 2;
  }
  if ((bytes & 1) != 0) sum += load<u8>(at); // an odd byte is the lower half of a word
  return sum;
}

function fold(sum: u64): u16 {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return <u16>sum;
}
