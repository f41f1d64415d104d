// Thread switches by call depth: Asyncify saves and restores every frame, so depth is what a switch
// costs.
import { compile } from "../../tools/compile.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */

export const ratioMetrics = ["rate"];
export const pairsOf = () => [];

const MEMORY_BYTES = 16 * 1024 * 1024;
const SWITCHES = 400_000;
const DEPTHS = [0, 1, 3, 8, 20];
const THREADS = [2, 100];

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const { Machine } = await import("../../dist/host/index.js");
  const { wasm } = await compile("bench/guest/switch.ts", "release", { kind: "calls" });
  const image = await WebAssembly.compile(wasm);
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round <= run.rounds; round++) {
    for (const threads of THREADS) {
      for (const depth of DEPTHS) {
        const machine = await Machine.create({ image, memoryBytes: MEMORY_BYTES });
        machine.boot();
        const turns = Math.ceil((SWITCHES * run.scale) / (1 + depth / 4) / threads);
        machine.call("measure", threads, depth, Math.ceil(turns / 10)); // V8 optimises meanwhile
        const ns = Number(machine.call("measure", threads, depth, turns));
        const switches = Number(machine.call("switches"));
        machine.dispose();
        const row = { case: `${threads} threads, depth ${depth}`, subject: "torito" };
        if (round === 0) continue;
        samples.push(
          { ...row, metric: "rate", unit: "switches/s", value: (switches / ns) * 1e9 },
          { ...row, metric: "time", unit: "ns/switch", value: ns / switches },
        );
      }
    }
    run.note(`switch, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  return [
    {
      title: "A switch by the depth of calls below it",
      x: "",
      y: "ns",
      labels: DEPTHS.map((depth) => `depth ${depth}`),
      lines: THREADS.map((threads) => ({
        name: `${threads} threads`,
        points: DEPTHS.flatMap((depth, x) => {
          const row = rows.find(
            (one) => one.case === `${threads} threads, depth ${depth}` && one.metric === "time",
          );
          return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
        }),
      })),
    },
  ];
}
