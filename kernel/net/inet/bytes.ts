// Numbers on the wire, which are big-endian.

export function loadBe16(address: usize, offset: usize): u32 {
  return bswap<u16>(load<u16>(address + offset));
}

export function loadBe32(address: usize, offset: usize): u32 {
  return bswap<u32>(load<u32>(address + offset));
}

export function storeBe16(address: usize, value: u32, offset: usize): void {
  store<u16>(address + offset, bswap<u16>(<u16>value));
}

export function storeBe32(address: usize, value: u32, offset: usize): void {
  store<u32>(address + offset, bswap<u32>(value));
}
