// The vectors of buffers that calls take.

/** One buffer of a gather send, or of a vectored read or write. */
@unmanaged
export class IoVec {
  base: usize;
  length: u32;
}

/** The most buffers of one call. */
export const VECTOR_MAX: u32 = 16;
