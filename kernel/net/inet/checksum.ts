// The Internet checksum (RFC 1071): the one's complement of the one's complement sum of words. The
// sum does not depend on the order of bytes, so words are added as they lie in memory.

/** The checksum as it is stored. Over bytes that contain their own, and are intact, it is 0. */
export function checksum(address: usize, bytes: u32): u16 {
  let sum: u64 = 0;
  let at = address;
  const words = address + (bytes & ~3);
  for (; at < words; at += 4) sum += load<u32>(at);
  if ((bytes & 2) != 0) {
    sum += load<u16>(at);
    at += 2;
  }
  if ((bytes & 1) != 0) sum += load<u8>(at); // an odd byte is the lower half of a word
  return ~fold(sum);
}

function fold(sum: u64): u16 {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return <u16>sum;
}
