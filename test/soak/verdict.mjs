// The verdict of a soak: did anything grow, or fail that no client provoked?

/**
 * @typedef {{ rss: number, heapUsed: number, external: number, arrayBuffers: number,
 *   descriptors: number, guestHeap: number, threads: number, sockets: number, connections: number,
 *   machines: number }} Sample
 */

const MIB = 1048576;
/** The first part of a run warms up: code is compiled, caches and pools fill. */
export const WARM_UP = 1 / 3;
/** Parts of the run of which the least counts. */
const WINDOWS = 12;

/**
 * What may grow: in 10 minutes, and once, which a run of up to 10 minutes cannot tell from growth.
 * The resident set swings by that much with what the allocators keep; JavaScript's heap is sampled
 * right after a collection.
 */
const ALLOWANCES = /** @type {const} */ ({
  rss: { name: "the resident set", growth: MIB, noise: 16 * MIB },
  heapUsed: { name: "JavaScript's heap", growth: MIB / 2, noise: 2 * MIB },
});
const NOISY_MINUTES = 10;
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
 * @returns {{ faults: string[], rssPer10Minutes: number, heapPer10Minutes: number }}
 */
export function judge({ minutes, samples, before, after, errors }) {
  const faults = Object.entries(errors).map(([what, times]) => `${times} times ${what}`);
  const warm = samples.filter(({ atS }) => atS >= minutes * 60 * WARM_UP);
  const measured = minutes * 60 * (1 - WARM_UP);
  const quiet = Math.min(1, (NOISY_MINUTES / minutes) ** 2);
  /** @param {keyof typeof ALLOWANCES} what */
  const growth = (what) => {
    const { name, growth, noise } = ALLOWANCES[what];
    const slope = slopeOf(floorOf(warm.map((one) => ({ atS: one.atS, value: one[what] }))));
    const per10Minutes = slope * 600;
    if (slope * measured > (growth * measured) / 600 + noise * quiet) {
      faults.push(`${name} grows by ${(per10Minutes / MIB).toFixed(1)} MiB in 10 minutes`);
    }
    return per10Minutes;
  };
  const rssPer10Minutes = growth("rss");
  const heapPer10Minutes = growth("heapUsed");
  for (const what of /** @type {const} */ (["descriptors", "threads", "sockets", "connections"])) {
    if (after[what] > before[what]) faults.push(`${what}: ${before[what]}, then ${after[what]}`);
  }
  if (Math.abs(after.guestHeap - before.guestHeap) > HEAP_REST_BYTES) {
    faults.push(`the guest's heap: ${before.guestHeap} bytes in use, then ${after.guestHeap}`);
  }
  return { faults, rssPer10Minutes, heapPer10Minutes };
}
