// FNV-1a, the hash of names and keys: every byte counts, and so does its place. It is no defence
// against an adversary who chooses the keys; tables that use it are bounded.

/** The value to begin with, unless the caller has reason to choose another. */
export const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/** The hash after one more byte. */
export function fnv1aByte(hash: u32, byte: u32): u32 {
  return (hash ^ byte) * FNV_PRIME;
}

/** The hash after `bytes` more bytes. */
export function fnv1a(hash: u32, address: usize, bytes: u32): u32 {
  for (let i: u32 = 0; i < bytes; i++) hash = fnv1aByte(hash, load<u8>(address + i));
  return hash;
}
