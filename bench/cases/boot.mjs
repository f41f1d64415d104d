// How long it takes to be there: a whole process until it answers, the kernel until it listens, a
// machine for one unit test; and how large the images are.
import { readFileSync, statSync } from "node:fs";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { findFreePort, Program, runToEnd } from "../lib/programs.mjs";
import { findSite, subjects } from "../lib/servers.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */

export const ratioMetrics = ["to first byte"];
/** Whose medians are compared, the first by the second. */
export const pairsOf = () =>
  subjects.filter(({ name }) => name !== "torito").map(({ name }) => ["torito", name]);

const IMAGES = ["web-server", "hello-world", "kernel"];
const MACHINES_PER_ROUND = 20;
const MACHINE_BYTES = 16 * 1024 * 1024;
const PATIENCE_MS = 10_000;
const CHILD = fileURLToPath(new URL("../lib/boot-child.mjs", import.meta.url));

/** @param {string} name */
const imagePath = (name) => fileURLToPath(new URL(`../../build/${name}.wasm`, import.meta.url));

/** @param {Run} run */
export async function measure(run) {
  const site = findSite();
  /** @type {Sample[]} */
  const samples = [];
  const missing = subjects.filter((subject) => subject.missing !== null);
  for (const subject of missing) run.note(`boot: no ${subject.name}: ${subject.missing}`);
  for (let round = 0; round <= run.rounds; round++) {
    /** @type {Sample[]} */
    const taken = [];
    for (const subject of subjects) {
      if (missing.includes(subject)) continue;
      await attempt(subject.name, run, async () => {
        const value = await timeToFirstByte(subject, site);
        const metric = "to first byte";
        taken.push({ case: "process", subject: subject.name, metric, unit: "ms", value });
      });
    }
    await attempt("kernel", run, async () => {
      const output = await runToEnd([process.execPath, CHILD, site.folder], undefined, PATIENCE_MS);
      for (const [name, metric, unit, value] of JSON.parse(output)) {
        taken.push({ case: name, subject: "torito", metric, unit, value });
      }
    });
    await attempt("headless machine", run, async () => {
      taken.push(...(await bootMachines(Math.ceil(MACHINES_PER_ROUND * run.scale))));
    });
    run.note(`boot, round ${round} of ${run.rounds}`);
    if (round > 0) samples.push(...taken); // the first one fills the caches
  }
  for (const image of IMAGES) {
    await attempt(image, run, () => {
      const value = statSync(imagePath(image)).size;
      samples.push({
        case: `${image}.wasm`,
        subject: "torito",
        metric: "size",
        unit: "bytes",
        value,
      });
    });
  }
  return samples;
}

/** @param {string} what @param {Run} run @param {() => void | Promise<void>} action */
async function attempt(what, run, action) {
  try {
    await action();
  } catch (error) {
    run.fail(`boot, ${what}: ${/** @type {Error} */ (error).message}`);
  }
}

/**
 * Milliseconds from the start of the process to the first byte of a response.
 * @param {import("../lib/servers.mjs").Subject} subject
 * @param {import("../lib/servers.mjs").Site} site
 */
async function timeToFirstByte(subject, site) {
  const port = await findFreePort();
  const command = await subject.command(site, port);
  const started = performance.now();
  const program = new Program(command, undefined);
  try {
    while (true) {
      const status = await ask(port, site.small.path);
      const ms = performance.now() - started;
      if (status === 200) return ms;
      if (status !== null) throw new Error(`status ${status}`);
      if (!program.alive || ms > PATIENCE_MS)
        throw new Error(`no answer: ${program.stderr.trim()}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } finally {
    await program.stop();
  }
}

/**
 * The status of a response as soon as it begins, or null: nobody is there yet.
 * @param {number} port
 * @param {string} path
 * @returns {Promise<number | null>}
 */
function ask(port, path) {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, path, agent: false, timeout: PATIENCE_MS };
    const request = http.get(options, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(null));
  });
}

/**
 * Cost of a machine of its own for a unit test of the kernel, the module being compiled.
 * @param {number} count
 * @returns {Promise<Sample[]>}
 */
async function bootMachines(count) {
  const { Machine, ManualClock } = await import("../../dist/host/index.js");
  const image = await WebAssembly.compile(readFileSync(imagePath("kernel")));
  /** @type {Sample[]} */
  const samples = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    const clock = new ManualClock();
    const machine = await Machine.create({ image, memoryBytes: MACHINE_BYTES, clock });
    machine.boot();
    const value = performance.now() - started;
    machine.dispose();
    samples.push({
      case: "headless machine",
      subject: "torito",
      metric: "create and boot",
      unit: "ms",
      value,
    });
  }
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const processes = rows.filter((row) => row.metric === "to first byte");
  return [
    {
      title: "From the start of the process to the first byte",
      x: "",
      y: "ms",
      labels: processes.map((row) => row.subject),
      lines: [
        {
          name: "median, least, most",
          points: processes.map((row, x) => ({ x, y: row.median, min: row.min, max: row.max })),
        },
      ],
    },
  ];
}
