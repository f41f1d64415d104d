// Building an appliance: release and debug images, from cold and warm, and how long a saved change
// takes until `torito dev` serves it.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile } from "../../tools/compile.mjs";
import { root } from "../../tools/names.mjs";
import { Sources } from "../../tools/sources.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */

export const ratioMetrics = ["time"];
export const pairsOf = () => [];

const MAIN = "src/main.ts";
/** Builds before a compiler counts as warm. */
const WARM_UP = 4;
const READY = /ready {2}\S+ {2}built in \d+ ms/g;

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const folder = mkdtempSync(join(tmpdir(), "torito-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, "templates/http/src"), join(folder, "src"), { recursive: true });
  writeFileSync(join(folder, "package.json"), "{}");
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return [...(await builds(folder, run)), ...(await edits(folder, run))];
}

/** @param {string} folder @param {import("../run.mjs").Run} run */
async function builds(folder, run) {
  /** @type {Sample[]} */
  const samples = [];
  const cache = new Sources();
  const warm = { folder, cache, ban: false };
  for (let i = 0; i < WARM_UP; i++) await compile(MAIN, "debug", warm);
  for (let round = 1; round <= run.rounds; round++) {
    for (const target of /** @type {const} */ (["debug", "release"])) {
      const began = performance.now();
      const used = process.cpuUsage();
      const { wasm } = await compile(MAIN, target, target === "debug" ? warm : { folder });
      const cpu = process.cpuUsage(used);
      const row = { case: `${target}, warm`, subject: "torito" };
      samples.push(
        { ...row, metric: "time", unit: "ms", value: performance.now() - began },
        { ...row, metric: "CPU", unit: "ms", value: (cpu.user + cpu.system) / 1000 },
        { ...row, metric: "image", unit: "bytes", value: wasm.length },
      );
    }
    run.note(`build, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/** From a save to the line that says the change is live. */
async function edits(/** @type {string} */ folder, /** @type {import("../run.mjs").Run} */ run) {
  /** @type {Sample[]} */
  const samples = [];
  const row = { subject: "torito", metric: "time", unit: "ms" };
  const words = [join(root, "dist/host/cli.js"), "dev", "-p", "0:80"];
  const started = performance.now();
  const child = spawn(process.execPath, words, {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  let look = () => {};
  child.stderr.setEncoding("utf8").on("data", (text) => {
    log += text;
    look();
  });
  /** @param {number} times */
  const ready = (times) =>
    new Promise((resolve) => {
      look = () => void ((log.match(READY)?.length ?? 0) >= times && resolve(undefined));
      look();
    });
  await ready(1);
  samples.push({ ...row, case: "dev, start to ready", value: performance.now() - started });
  const path = join(folder, MAIN);
  const text = readFileSync(path, "utf8");
  for (let round = 1; round <= WARM_UP + run.rounds; round++) {
    const saved = performance.now();
    writeFileSync(path, `${text}// ${round}\n`);
    await ready(round + 1);
    if (round <= WARM_UP) continue;
    samples.push({ ...row, case: "dev, save to ready", value: performance.now() - saved });
  }
  child.kill("SIGINT");
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export const panels = () => [];
