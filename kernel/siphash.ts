// SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): a hash with a secret key, so
// that nobody can choose inputs that collide, or guess the hash of the next one. Leaves.

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

/** SipHash-1-3 of `bytes` bytes under the key of two words: for tables. */
export function sipHash13(k0: u64, k1: u64, at: usize, bytes: u32): u64 {
  return hash(k0, k1, at, bytes, 1, 3);
}

/** SipHash-2-4: for numbers that must not be guessed. */
export function sipHash24(k0: u64, k1: u64, at: usize, bytes: u32): u64 {
  return hash(k0, k1, at, bytes, 2, 4);
}

function hash(k0: u64, k1: u64, at: usize, bytes: u32, rounds: u32, last: u32): u64 {
  v0 = k0 ^ 0x736f6d6570736575;
  v1 = k1 ^ 0x646f72616e646f6d;
  v2 = k0 ^ 0x6c7967656e657261;
  v3 = k1 ^ 0x7465646279746573;
  const end = at + (bytes & ~7);
  for (; at < end; at += 8) absorb(load<u64>(at), rounds);
  let tail: u64 = <u64>bytes << 56;
  for (let i: u32 = 0; i < (bytes & 7); i++) tail |= <u64>load<u8>(at + i) << (i << 3);
  absorb(tail, rounds);
  v2 ^= 0xff;
  for (let i: u32 = 0; i < last; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

function absorb(word: u64, rounds: u32): void {
  v3 ^= word;
  for (let i: u32 = 0; i < rounds; i++) round();
  v0 ^= word;
}

function round(): void {
  v0 += v1;
  v2 += v3;
  v1 = rotl<u64>(v1, 13) ^ v0;
  v3 = rotl<u64>(v3, 16) ^ v2;
  v0 = rotl<u64>(v0, 32);
  v2 += v1;
  v0 += v3;
  v1 = rotl<u64>(v1, 17) ^ v2;
  v3 = rotl<u64>(v3, 21) ^ v0;
  v2 = rotl<u64>(v2, 32);
}
