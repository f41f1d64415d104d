// Kept connections that are silent: memory of the whole process for each of them, and the CPU time
// that it spends on nothing.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { makeFolder } from "../lib/programs.mjs";
import { startServer, subjects } from "../lib/servers.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../lib/programs.mjs").Program} Program */

const CLIENTS = [1000, 4000, 10_000];
const MEMORY = "192M";
const IDLE_MS = 5000;
const AT_ONCE = 50;
const MIB = 1024 * 1024;

export const ratioMetrics = [];
export const pairsOf = () => [];

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const folder = join(makeFolder(), "site");
  mkdirSync(folder);
  writeFileSync(join(folder, "small.html"), "s".repeat(1000));
  const small = { path: "/small.html", bytes: 1000 };
  const site = { folder, large: small, small };
  const [torito] = subjects;
  if (torito === undefined || torito.missing !== null) return [];
  const subject = {
    ...torito,
    command: async (/** @type {typeof site} */ of, /** @type {number} */ port) => [
      ...(await torito.command(of, port)),
      ...["-m", MEMORY, "--", `idle=${60 * 60 * 1000}`],
    ],
  };
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round < run.rounds; round++) {
    for (const clients of CLIENTS.map((count) => Math.ceil(count * run.scale))) {
      const server = await startServer(subject, site, undefined);
      try {
        const figures = await keep(server.port, server.program, clients);
        for (const [metric, unit, value] of figures) {
          samples.push({ case: `${clients} connections`, subject: "torito", metric, unit, value });
        }
        const line = figures.map(([metric, unit, value]) => `${metric} ${value} ${unit}`);
        run.note(`idle, round ${round + 1}, ${clients} connections: ${line.join(", ")}`);
      } catch (error) {
        run.fail(`idle, ${clients} connections: ${/** @type {Error} */ (error).message}`);
      } finally {
        await server.program.stop();
      }
    }
  }
  return samples;
}

/**
 * @param {number} port @param {Program} program @param {number} clients
 * @returns {Promise<[metric: string, unit: string, value: number][]>}
 */
async function keep(port, program, clients) {
  const before = residentBytes(program);
  /** @type {net.Socket[]} */
  const kept = [];
  let lost = 0;
  try {
    while (kept.length < clients) {
      const some = Math.min(AT_ONCE, clients - kept.length);
      const opened = await Promise.all(Array.from({ length: some }, () => open(port)));
      for (const socket of opened) socket.on("close", () => lost++);
      kept.push(...opened);
    }
    await sleep(IDLE_MS);
    const cpu = program.cpuUs();
    await sleep(IDLE_MS);
    const resident = residentBytes(program);
    const busy = ((program.cpuUs() ?? Number.NaN) - (cpu ?? Number.NaN)) / 1000;
    return [
      ["resident", "MiB", Math.round(resident / MIB)],
      ["each", "KiB", Math.round((resident - before) / clients / 102.4) / 10],
      [`CPU in ${IDLE_MS / 1000} s`, "ms", Math.round(busy)],
      ["lost", "connections", lost],
    ];
  } finally {
    for (const socket of kept) socket.destroy();
  }
}

/** A connection that has had one answer. @param {number} port @returns {Promise<net.Socket>} */
function open(port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    let got = "";
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("a connection was closed before its answer")));
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
      if (!got.endsWith("s".repeat(1000))) return;
      socket.removeAllListeners("close");
      resolve(socket);
    });
    socket.write("GET /small.html HTTP/1.1\r\nHost: x\r\n\r\n");
  });
}

/** @param {Program} program */
function residentBytes(program) {
  const status = readFileSync(`/proc/${program.child.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024;
}

const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const resident = rows.filter((row) => row.metric === "resident");
  const points = resident.map((row, x) => ({ x, y: row.median, min: row.min, max: row.max }));
  const labels = resident.map((row) => row.case);
  const lines = [{ name: "process memory", points }];
  return [{ title: `Silent connections, -m ${MEMORY}`, x: "", y: "MiB", labels, lines }];
}
