// The verdict of a soak: did anything grow, or fail that no client provoked?

/**
 * @typedef {{ rss: number, external: number, arrayBuffers: number, descriptors: number,
 *   guestHeap: number, threads: number, sockets: number, connections: number, machines: number }}
 *   Sample
 */

const MIB = 1048576;
/** The first part of a run warms up: code is compiled, caches and pools fill. */
export const WARM_UP = 1 / 3;
/** Growth of the resident set in 10 minutes. */
const GROWTH_BYTES_MAX = MIB;
/** Parts of the run of which the least counts. */
const WINDOWS = 12;
/**
 * Noise of the process's own allocators, which a short run cannot tell from growth.
 */
const NOISE_BYTES = 8 * MIB;
/**
 * Of the guest's heap: blocks that are used again may be larger by what is too small to cut off.
 */
const HEAP_REST_BYTES = 65536;

/**
 * Growth in bytes per second: the median of the slopes between all pairs of samples (Theil and
 * Sen), which a single spike does not bend.
 * @param {readonly { atS: number, value: number }[]} points
 */
export function slopeOf(points) {
  /** @type {number[]} */
  const slopes = [];
  points.forEach((a, i) => {
    for (const b of points.slice(i + 1)) slopes.push((b.value - a.value) / (b.atS - a.atS));
  });
  slopes.sort((a, b) => a - b);
  return slopes[slopes.length >> 1] ?? 0;
}

/**
 * The least of each of WINDOWS parts of the run: what is only in use for a moment is not growth.
 * @param {readonly { atS: number, value: number }[]} points
 */
function floorOf(points) {
  const size = Math.max(1, Math.floor(points.length / WINDOWS));
  const parts = Array.from({ length: Math.floor(points.length / size) }, (_, i) =>
    points.slice(i * size, (i + 1) * size),
  );
  return parts.map((part) => part.reduce((least, one) => (one.value < least.value ? one : least)));
}

/**
 * @param {{ minutes: number, samples: readonly (Sample & { atS: number })[], before: Sample,
 *   after: Sample, errors: Record<string, number> }} run
 * @returns {{ faults: string[], rssPer10Minutes: number }}
 */
export function judge({ minutes, samples, before, after, errors }) {
  const faults = Object.entries(errors).map(([what, times]) => `${times} times ${what}`);
  const warm = samples.filter(({ atS }) => atS >= minutes * 60 * WARM_UP);
  const slope = slopeOf(floorOf(warm.map(({ atS, rss }) => ({ atS, value: rss }))));
  const rssPer10Minutes = slope * 600;
  const measured = minutes * 60 * (1 - WARM_UP);
  const allowed = (GROWTH_BYTES_MAX * measured) / 600 + NOISE_BYTES / Math.max(1, minutes / 3);
  if (slope * measured > allowed) {
    const mib = (rssPer10Minutes / MIB).toFixed(1);
    faults.push(`the resident set grows by ${mib} MiB in 10 minutes`);
  }
  for (const what of /** @type {const} */ (["descriptors", "threads", "sockets", "connections"])) {
    if (after[what] > before[what]) faults.push(`${what}: ${before[what]}, then ${after[what]}`);
  }
  if (Math.abs(after.guestHeap - before.guestHeap) > HEAP_REST_BYTES) {
    faults.push(`the guest's heap: ${before.guestHeap} bytes in use, then ${after.guestHeap}`);
  }
  return { faults, rssPer10Minutes };
}
