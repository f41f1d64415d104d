// Bytes somewhere in memory as one value: the address above, the length below. A Span owns nothing,
// needs no memory and crosses a switch in one local.
/** Bytes in memory: the address in the upper 32 bits, the length in the lower ones. */
export type Span = u64;

/** The span of `bytes` bytes at `address`. */
export function span(address: usize, bytes: u32): Span {
  return (<u64>address << 32) | bytes;
}

/** Where the bytes of a span are. */
export function spanAddress(s: Span): usize {
  return <usize>(s >> 32);
}

/** How long a span is. */
export function spanBytes(s: Span): u32 {
  return <u32>s;
}

/** A string literal as static UTF-8. The build puts a constant in the place of each call. */
export function text(literal: string): Span {
  ERROR("text() is replaced by torito's build (tools/text.mjs), which did not see this call");
  return 0;
}
