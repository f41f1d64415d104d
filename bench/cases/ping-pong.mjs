// Round trips through the appliance beside a C echo, an echo on node:net, and socat as a relay in
// front of the C echo; client and server on one core.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cPrograms, Guest, pingPong, splitCores, startEcho } from "../lib/machines.mjs";
import { findFreePort, has, makeFolder, Program } from "../lib/programs.mjs";
import { sizeName } from "../lib/report.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */
/** @typedef {{ name: string, kind: string, where: string | number, program: Program }} Echo */

const SIZES = [64, 8192, 16384];
const COUNT = 8000;
const NODE_ECHO = fileURLToPath(new URL("../peers/node-echo.mjs", import.meta.url));

export const ratioMetrics = ["round trip"];
/** Whose medians are compared, the first by the second. */
export const pairsOf = () => [
  ["torito", "C"],
  ["torito", "node"],
  ["torito", "socat"],
];

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("ping-pong: nothing is measured: there is no cc to compile the client with");
    return samples;
  }
  const { guest: core } = splitCores();
  const count = Math.max(100, Math.round(COUNT * run.scale));
  const transports = { TCP: await tcpEchoes(core, run), AF_UNIX: await unixEchoes(core) };
  for (let round = 0; round <= run.rounds; round++) {
    for (const [transport, echoes] of Object.entries(transports)) {
      for (const size of SIZES) {
        for (const { name, kind, where } of echoes) {
          const { p50, p99 } = await pingPong(kind, where, size, count, core);
          if (round === 0) continue;
          const row = { case: `${transport} ${sizeName(size)}`, subject: name, unit: "us" };
          samples.push({ ...row, metric: "round trip", value: p50 });
          samples.push({ ...row, metric: "p99", value: p99 });
        }
      }
    }
    run.note(`ping-pong, round ${round} of ${run.rounds}`);
  }
  for (const { program } of Object.values(transports).flat()) await program.stop();
  return samples;
}

/** @param {number | undefined} core @param {Run} run @returns {Promise<Echo[]>} */
async function tcpEchoes(core, run) {
  const guest = await Guest.start({ image: "echo", publish: [[7]] }, core);
  const c = await startEcho("tcp", core);
  const port = await findFreePort();
  const node = new Program([process.execPath, NODE_ECHO, `${port}`], core);
  /** @type {Echo[]} */
  const echoes = [
    { name: "torito", kind: "tcp", where: guest.port, program: guest.program },
    { name: "C", kind: "tcp", where: c.where, program: c.program },
    { name: "node", kind: "tcp", where: port, program: node },
  ];
  if (!has("socat")) {
    run.note("ping-pong: no socat: it is not installed");
    return echoes;
  }
  const target = await startEcho("unix", core);
  const front = await findFreePort();
  const relay = [
    "socat",
    `TCP-LISTEN:${front},bind=127.0.0.1,reuseaddr,fork,nodelay`,
    `UNIX-CONNECT:${target.where}`,
  ];
  await new Promise((resolve) => setTimeout(resolve, 300));
  echoes.push({ name: "socat", kind: "tcp", where: front, program: new Program(relay, core) });
  await new Promise((resolve) => setTimeout(resolve, 300));
  return echoes;
}

/** @param {number | undefined} core @returns {Promise<Echo[]>} */
async function unixEchoes(core) {
  const path = join(makeFolder(), "vsock");
  const guest = await Guest.start({ image: "echo", publish: [[7]], path }, core);
  const c = await startEcho("unix", core);
  const place = join(makeFolder(), "node");
  const node = new Program([process.execPath, NODE_ECHO, place], core);
  await new Promise((resolve) => setTimeout(resolve, 500));
  return [
    { name: "torito", kind: "vsock", where: `${path}:7`, program: guest.program },
    { name: "C", kind: "unix", where: c.where, program: c.program },
    { name: "node", kind: "unix", where: place, program: node },
  ];
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  return ["TCP", "AF_UNIX"].map((transport) => ({
    title: `Round trips over ${transport}, one core`,
    x: "bytes",
    y: "us, median",
    lines: ["torito", "C", "node", "socat"].flatMap((name) => {
      const points = SIZES.flatMap((x) => {
        const row = rows.find(
          (one) =>
            one.case === `${transport} ${sizeName(x)}` &&
            one.subject === name &&
            one.metric === "round trip",
        );
        return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
      });
      return points.length === 0 ? [] : [{ name, points }];
    }),
  }));
}
