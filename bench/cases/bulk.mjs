// One way as fast as it goes, beside a C program and iperf3 in the guest's place.
import {
  bulk,
  bulkServer,
  cPrograms,
  splitCores,
  transfer,
  transferred,
} from "../lib/machines.mjs";
import { findFreePort, has, Program, runToEnd } from "../lib/programs.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */

const MB = 2000;
/** The first run is V8's, which compiles meanwhile. */
const RUNS = 2;
const PAGES = 64;
const SIZE = PAGES * 4096;
const PATIENCE_MS = 120_000;

export const ratioMetrics = ["rate", "CPU"];
/** Whose medians are compared, the first by the second. */
export const pairsOf = () => [
  ["torito", "C"],
  ["torito", "iperf3"],
];

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("bulk: nothing is measured: there is no cc to compile the peers with");
    return samples;
  }
  if (!has("iperf3")) run.note("bulk: no iperf3: it is not installed");
  const mb = Math.max(1, Math.round(MB * run.scale));
  for (let round = 0; round <= run.rounds; round++) {
    for (const way of /** @type {const} */ (["rx", "tx"])) {
      const subjects = { torito: ours, C: cPeer, ...(has("iperf3") ? { iperf3 } : {}) };
      for (const [subject, attempt] of Object.entries(subjects)) {
        const row = { case: way === "rx" ? "to the guest" : "from the guest", subject };
        try {
          const taken = transferred(row, await attempt(way, mb));
          if (round > 0) samples.push(...taken);
        } catch (error) {
          run.fail(`bulk, ${row.case}, ${subject}: ${/** @type {Error} */ (error).message}`);
        }
      }
    }
    run.note(`bulk, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/** @param {"rx" | "tx"} way @param {number} mb */
function ours(way, mb) {
  return transfer(way, {}, "zerocopy=1", PAGES, mb, RUNS);
}

/** @param {"rx" | "tx"} way @param {number} mb */
async function cPeer(way, mb) {
  const cores = splitCores();
  const place = way === "rx" ? "sink" : "source";
  const other = way === "rx" ? "source" : "sink";
  const server = await bulkServer(place, "tcp", SIZE, mb, cores.guest);
  const { bytes, seconds } = await bulk(other, "tcp", server.where, SIZE, mb, cores.peer);
  return { rate: bytes / 1e6 / seconds, cpu: (await server.ended).cpuUs / mb };
}

/** @param {"rx" | "tx"} way @param {number} mb */
async function iperf3(way, mb) {
  const cores = splitCores();
  const port = `${await findFreePort()}`;
  const server = new Program(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", port], cores.guest);
  await new Promise((resolve) => setTimeout(resolve, 200));
  try {
    const flags = ["-c", "127.0.0.1", "-p", port, "-n", `${mb * 1e6}`, "-J", "-l", "262144"];
    const command = ["iperf3", ...flags, ...(way === "tx" ? ["-R"] : [])];
    const { end } = JSON.parse(await runToEnd(command, cores.peer, PATIENCE_MS));
    return { rate: end.sum_received.bits_per_second / 8e6, cpu: null };
  } finally {
    await server.stop();
  }
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const cases = ["to the guest", "from the guest"];
  return [
    {
      title: "One way, TCP, two cores",
      x: "",
      y: "MB/s",
      labels: cases,
      lines: ["torito", "C", "iperf3"].map((name) => ({
        name,
        points: cases.flatMap((one, x) => {
          const row = rows.find(
            (each) => each.case === one && each.subject === name && each.metric === "rate",
          );
          return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
        }),
      })),
    },
  ];
}
