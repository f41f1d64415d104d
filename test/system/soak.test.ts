// The verdict of a soak: it sees what it is there for, and takes noise for noise.
import { expect, test } from "vitest";
import { judge, slopeOf } from "../soak/verdict.mjs";

const MIB = 1048576;
const start = {
  rss: 100 * MIB,
  heapUsed: 16 * MIB,
  external: 30 * MIB,
  arrayBuffers: MIB,
  descriptors: 30,
  guestHeap: 10 * MIB,
  threads: 2,
  sockets: 1,
  connections: 0,
  machines: 10,
};

/** A run of `minutes` whose resident set is `rssAt` of the minute. */
function run(minutes: number, rssAt: (minute: number) => number) {
  const samples = Array.from({ length: 120 }, (_, i) => {
    const atS = (i * minutes * 60) / 120;
    return { ...start, atS, rss: rssAt(atS / 60) };
  });
  return { minutes, samples, before: start, after: start, errors: {} };
}

const noise = (minute: number) => ((minute * 7919) % 1) * 4 * MIB;
const faultsOf = (one: Parameters<typeof judge>[0]) => judge(one).faults;

test("takes a level with noise, spikes and a warm-up for flat", () => {
  expect(faultsOf(run(30, (minute) => start.rss + noise(minute)))).toEqual([]);
  expect(faultsOf(run(1, (minute) => start.rss + noise(minute)))).toEqual([]);
  expect(faultsOf(run(30, (minute) => start.rss + Math.min(minute, 9) * 20 * MIB))).toEqual([]);
  const spike = (minute: number) => (minute > 20 && minute < 21 ? 300 * MIB : start.rss);
  expect(faultsOf(run(30, spike))).toEqual([]);
});

test("growth of 2 MiB in 10 minutes is a fault of 30 minutes, of 30 MiB in one minute at once", () => {
  const [fault] = faultsOf(run(30, (minute) => start.rss + noise(minute) + minute * 0.2 * MIB));
  expect(fault).toMatch(/^the resident set grows by 2\.\d MiB in 10 minutes$/);
  expect(faultsOf(run(1, (minute) => start.rss + noise(minute) + minute * 30 * MIB))).toHaveLength(
    1,
  );
});

test("growth of JavaScript's heap is seen below the noise of the resident set", () => {
  const flat = run(9, () => start.rss);
  const grown = (mibPerMinute: number) =>
    flat.samples.map((one) => ({
      ...one,
      heapUsed: start.heapUsed + (one.atS / 60) * mibPerMinute * MIB,
    }));
  expect(faultsOf({ ...flat, samples: grown(0.1) })).toEqual([]);
  expect(faultsOf({ ...flat, samples: grown(0.5) })).toEqual([
    "JavaScript's heap grows by 5.0 MiB in 10 minutes",
  ]);
});

test("reports every error, and every level that does not return to its start", () => {
  const flat = run(1, () => start.rss);
  for (const what of ["descriptors", "threads", "sockets", "connections"] as const) {
    const after = { ...start, [what]: start[what] + 1 };
    expect(faultsOf({ ...flat, after })).toEqual([`${what}: ${start[what]}, then ${after[what]}`]);
  }
  const after = { ...start, guestHeap: start.guestHeap + MIB };
  expect(faultsOf({ ...flat, after })).toHaveLength(1);
  const errors = { "close: ECONNRESET": 2 };
  expect(faultsOf({ ...flat, errors })).toEqual(["2 times close: ECONNRESET"]);
});

test("the slope is that of most points, whatever a few say", () => {
  const points = Array.from({ length: 50 }, (_, i) => ({ atS: i, value: i * 3 }));
  points[10]!.value = 10_000;
  points[40]!.value = -10_000;
  expect(slopeOf(points)).toBe(3);
});
