// A buffer of several, as calls with vectors take them.

/** One buffer of a gather send or of a vectored read or write, as the application writes it. */
@unmanaged
export class IoVec {
  base: usize;
  length: u32;
}

/** Buffers of one call. */
export const VECTOR_MAX: u32 = 16;
