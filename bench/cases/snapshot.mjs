// Snapshots: saving a machine, restoring it, going back, a file of it; and what it costs to give
// every request a machine of its own, beside one machine that is kept. One process, no network.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../../dist/host/index.js").Machine} Machine */

export const ratioMetrics = ["requests"];
export const pairsOf = () => [["fresh", "kept"]];

const SIZES_MIB = [16, 64, 256];
const TIMES = 200;
const CLONES = 50;
const REQUESTS = 4000;
const POOL = 4;

const IMAGE = fileURLToPath(new URL("../../build/web-server.wasm", import.meta.url));

/** @param {number[]} values */
function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** @param {number} times @param {() => unknown} work Milliseconds of the median. */
async function timed(times, work) {
  const taken = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    await work();
    taken.push(performance.now() - began);
  }
  return median(taken);
}

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round <= run.rounds; round++) {
    for (const mib of SIZES_MIB) {
      try {
        const taken = await measureSize(mib, run.scale);
        if (round > 0) samples.push(...taken);
      } catch (error) {
        run.fail(`snapshot, ${mib} MiB: ${/** @type {Error} */ (error).message}`);
      }
    }
    run.note(`snapshot, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/** @param {number} mib @param {number} scale @returns {Promise<Sample[]>} */
async function measureSize(mib, scale) {
  const library = await import("../../dist/host/index.js");
  const { Machine, MachinePool, FsDevice, MemoryFiles, VsockDevice } = library;
  const { decodeSnapshot, encodeSnapshot } = library;
  const { sha256 } = await import("../../dist/host/node/platform.js");
  const files = new MemoryFiles({ "index.html": "<h1>Hello</h1>" });
  const make = () => {
    const vsock = new VsockDevice();
    return { vsock, devices: [vsock, new FsDevice({ directory: "/", tag: "site", files })] };
  };
  /** @param {Machine} machine */
  const ask = async (machine) => {
    const response = await machine.fetch("http://guest/");
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    await response.arrayBuffer();
  };
  const { vsock, devices } = make();
  const image = readFileSync(IMAGE);
  const machine = await Machine.create({ image, memoryBytes: mib << 20, devices });
  machine.boot();
  await vsock.probe(80);
  await ask(machine);
  const snapshot = await machine.snapshot();
  const bytes = encodeSnapshot(snapshot, sha256);
  const times = Math.ceil(TIMES * scale);
  const row = { case: `${mib} MiB`, subject: "torito", unit: "ms" };
  /** @type {Sample[]} */
  const samples = [
    { ...row, metric: "snapshot", value: await timed(times, () => machine.snapshot()) },
    { ...row, metric: "rewind", value: await timed(times, () => machine.rewind(snapshot)) },
    { ...row, metric: "encode", value: await timed(times, () => encodeSnapshot(snapshot, sha256)) },
    { ...row, metric: "decode", value: await timed(times, () => decodeSnapshot(bytes, sha256)) },
    { ...row, metric: "file", unit: "KiB", value: bytes.length / 1024 },
  ];
  samples.push(...(await clones(scale)));
  samples.push(...(await requests(scale)));
  machine.dispose();
  return samples;

  /** @param {number} scale */
  async function clones(scale) {
    const count = Math.ceil(CLONES * scale);
    /** @type {Machine[]} */
    const made = [];
    const before = process.memoryUsage().rss;
    const restore = async () => made.push(await Machine.restore(snapshot, make()));
    const value = await timed(count, restore);
    const each = (process.memoryUsage().rss - before) / count / 1024 ** 2;
    for (const one of made) one.dispose();
    return [
      { ...row, metric: "restore", value },
      { ...row, metric: "memory of a clone", unit: "MiB", value: each },
    ];
  }

  /** @param {number} scale */
  async function requests(scale) {
    const count = Math.ceil(REQUESTS * scale);
    const pool = new MachinePool(snapshot, { size: POOL, make });
    await pool.fill();
    /** @param {() => Promise<void>} one */
    const rate = async (one) => {
      const began = performance.now();
      for (let i = 0; i < count; i++) await one();
      return (count / (performance.now() - began)) * 1000;
    };
    const kept = await rate(() => ask(machine));
    const fresh = await rate(async () => {
      const one = await pool.take();
      await ask(one.machine);
      one.release();
    });
    pool.close();
    const each = { case: `${mib} MiB`, metric: "requests", unit: "requests/s" };
    return [
      { ...each, subject: "kept", value: kept },
      { ...each, subject: "fresh", value: fresh },
    ];
  }
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  /** @param {string} metric @param {string} subject */
  const line = (metric, subject) => ({
    name: subject === "torito" ? metric : subject,
    values: SIZES_MIB.map(
      (mib) =>
        rows.find(
          (one) => one.case === `${mib} MiB` && one.metric === metric && one.subject === subject,
        )?.p50 ?? 0,
    ),
  });
  const labels = SIZES_MIB.map((mib) => `${mib} MiB`);
  return [
    {
      title: "Saving and going back, by the size of the memory",
      x: "",
      y: "ms",
      labels,
      lines: ["snapshot", "rewind", "restore"].map((metric) => line(metric, "torito")),
    },
    {
      title: "Requests with a machine each",
      x: "",
      y: "requests/s",
      labels,
      lines: ["kept", "fresh"].map((subject) => line("requests", subject)),
    },
  ];
}
