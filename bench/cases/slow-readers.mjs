// Clients that ask for a large file and never read, and what a client that asks for a small one has
// to wait meanwhile: while they come, and when all of them are stalled.
import { mkdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { join } from "node:path";
import { makeFolder } from "../lib/programs.mjs";
import { startServer, subjects } from "../lib/servers.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */

const LARGE_BYTES = 5_000_000;
const SMALL_BYTES = 1000;
const REQUESTS = 400;
const PAUSE_MS = 10;

const [torito] = subjects;
/** @type {readonly { clients: number, subject: import("../lib/servers.mjs").Subject }[]} */
const cases = [
  ...subjects
    .filter(({ name }) => name !== "wasmer")
    .map((subject) => ({ clients: 2000, subject })),
  ...(torito === undefined ? [] : [{ clients: 400, subject: withMemory(torito, "16M") }]),
];

/** @param {import("../lib/servers.mjs").Subject} subject @param {string} memory */
function withMemory(subject, memory) {
  return {
    ...subject,
    name: `${subject.name} ${memory}`,
    command: async (
      /** @type {import("../lib/servers.mjs").Site} */ site,
      /** @type {number} */ port,
    ) => [...(await subject.command(site, port)), "-m", memory],
  };
}

export const ratioMetrics = ["coming p99", "stalled p50", "stalled p99"];
export const pairsOf = () =>
  subjects.filter(({ name }) => name !== "torito").map(({ name }) => ["torito", name]);

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const folder = join(makeFolder(), "site");
  mkdirSync(folder);
  writeFileSync(join(folder, "large.html"), "l".repeat(LARGE_BYTES));
  writeFileSync(join(folder, "small.html"), "s".repeat(SMALL_BYTES));
  const large = { path: "/large.html", bytes: LARGE_BYTES };
  const small = { path: "/small.html", bytes: SMALL_BYTES };
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round < run.rounds; round++) {
    for (const { clients, subject } of cases) {
      if (subject.missing !== null) continue;
      const server = await startServer(subject, { folder, large, small }, undefined);
      try {
        const figures = await stallAndAsk(server.port, clients, Math.round(REQUESTS * run.scale));
        for (const [metric, unit, value] of figures) {
          const name = `${clients} clients that never read 5 MB`;
          samples.push({ case: name, subject: subject.name, metric, unit, value });
        }
        const line = figures.map(
          ([metric, unit, value]) => `${metric} ${value.toFixed(1)} ${unit}`,
        );
        run.note(`slow-readers, round ${round + 1}, ${subject.name}: ${line.join(", ")}`);
      } catch (error) {
        run.fail(`slow-readers, ${subject.name}: ${/** @type {Error} */ (error).message}`);
      } finally {
        await server.program.stop();
      }
    }
  }
  return samples;
}

const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {number} port @param {number} clients @param {number} requests
 * @returns {Promise<[metric: string, unit: string, value: number][]>}
 */
async function stallAndAsk(port, clients, requests) {
  const stalled = Array.from({ length: clients }, () => stall(port));
  const coming = await askMany(port, requests);
  // Until then the kernel takes some megabytes for each of them.
  await sleep(2000);
  const later = await askMany(port, requests);
  for (const socket of stalled) socket.destroy();
  return [
    ["coming p99", "ms", quantile(coming, 0.99)],
    ["stalled p50", "ms", quantile(later, 0.5)],
    ["stalled p99", "ms", quantile(later, 0.99)],
    ["failed", "requests", 2 * requests - coming.length - later.length],
  ];
}

/** @param {number} port */
function stall(port) {
  const socket = net.connect(port, "127.0.0.1");
  socket.pause();
  socket.on("error", () => {});
  socket.write("GET /large.html HTTP/1.1\r\nHost: x\r\n\r\n");
  return socket;
}

/** Milliseconds of each request that was answered. */
async function askMany(/** @type {number} */ port, /** @type {number} */ requests) {
  /** @type {number[]} */
  const took = [];
  for (let i = 0; i < requests; i++) {
    const began = performance.now();
    if (await ask(port)) took.push(performance.now() - began);
    await sleep(PAUSE_MS);
  }
  return took;
}

/** @param {number} port @returns {Promise<boolean>} */
function ask(port) {
  return new Promise((resolve) => {
    const request = http.get({ port, host: "127.0.0.1", path: "/small.html", agent: false });
    request.on("error", () => resolve(false));
    request.on("response", (response) => {
      let got = 0;
      response.on("data", (chunk) => {
        got += chunk.length;
      });
      response.on("error", () => resolve(false));
      response.on("end", () => resolve(response.statusCode === 200 && got === SMALL_BYTES));
    });
  });
}

/** @param {readonly number[]} values @param {number} share */
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const labels = [...new Set(rows.map((row) => row.subject))];
  const lines = ["coming p99", "stalled p99"].map((metric) => ({
    name: metric,
    points: rows
      .filter((row) => row.metric === metric)
      .map((row) => ({
        x: labels.indexOf(row.subject),
        y: row.median,
        min: row.min,
        max: row.max,
      })),
  }));
  return [{ title: "A small file beside clients that never read", x: "", y: "ms", labels, lines }];
}
