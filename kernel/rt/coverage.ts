// Compiled into an image that is built for coverage: a byte for every statement, 1 once it ran.
const POINTS: u32 = 16384;
export const coverage: usize = memory.data(16384);

@global function __cov(point: u32): void {
  assert(point < POINTS, "coverage: more statements than bytes");
  store<u8>(coverage + point, 1);
}
