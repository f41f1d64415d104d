// Times of files as Node sets them. Node 20 cuts them to microseconds; later versions pass the
// double on, which differs from the microsecond by less than one.

const exact = process.versions.node.startsWith("20.");

/** As expected, or, where this Node cannot be exact, nearer than a microsecond. */
export function isStoredTime(ns: bigint, expected: bigint): boolean {
  if (exact) return ns === expected;
  return ns - expected < 1000n && expected - ns < 1000n;
}
