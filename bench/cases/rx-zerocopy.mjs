// Receiving by copies and by loans, while the host copies into posted buffers or reads straight
// into them: the study of the vsock receive RFC, with its sizes.
import { cPrograms, transfer, transferred } from "../lib/machines.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */

const PAGES = [8, 32, 64, 256, 512];
const MB = 4000;
const MODES = /** @type {const} */ ([
  { name: "loan, in place", zerocopy: 1, receive: "in-place" },
  { name: "copy, in place", zerocopy: 0, receive: "in-place" },
  { name: "loan, data", zerocopy: 1, receive: "data" },
  { name: "copy, data", zerocopy: 0, receive: "data" },
]);

/** Whose medians are compared, the first by the second. */
export const pairsOf = () => [
  ["loan, in place", "copy, data"],
  ["loan, in place", "copy, in place"],
  ["loan, data", "copy, data"],
];
export const ratioMetrics = ["rate", "CPU"];

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("rx-zerocopy: nothing is measured: there is no cc to compile the source with");
    return samples;
  }
  const mb = Math.max(1, Math.round(MB * run.scale));
  for (let round = 1; round <= run.rounds; round++) {
    for (const pages of PAGES) {
      for (const { name, zerocopy, receive } of MODES) {
        const row = { case: `${pages} pages`, subject: name };
        try {
          const configuration = { receive, bufAlloc: 1 << 20, memoryMB: 128 };
          const parameters = `zerocopy=${zerocopy} vsock.window=4194304`;
          const figures = await transfer("rx", configuration, parameters, pages, mb);
          samples.push(...transferred(row, figures));
        } catch (error) {
          run.fail(`rx-zerocopy, ${row.case}, ${name}: ${/** @type {Error} */ (error).message}`);
        }
      }
    }
    run.note(`rx-zerocopy, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  return [
    { metric: "rate", y: "MB/s" },
    { metric: "CPU", y: "us of the guest's process per MB" },
  ].map(({ metric, y }) => ({
    title: `Receiving ${metric === "rate" ? "in bulk" : "in bulk: CPU time"}`,
    x: "pages of a call",
    y,
    lines: MODES.map(({ name }) => ({
      name,
      points: PAGES.flatMap((x) => {
        const row = rows.find(
          (one) => one.case === `${x} pages` && one.subject === name && one.metric === metric,
        );
        return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
      }),
    })),
  }));
}
