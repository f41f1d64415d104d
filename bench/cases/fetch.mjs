// HTTP within one process, client and server on one thread: machine.fetch() to a guest that serves
// files of memory, beside fetch() and node:http's client to a node:http server on loopback.
import http from "node:http";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** Makes one request, and reads its whole body. @typedef {(path: string) => Promise<number>} Ask */
/** @typedef {{ name: string, ask: Ask, stop: () => void }} Subject */

export const ratioMetrics = ["rate"];
/** Whose medians are compared, the first by the second. */
export const pairsOf = () => [
  ["machine.fetch", "fetch, node:http"],
  ["machine.fetch", "http.get, node:http"],
];

const IMAGE = new URL("../../build/web-server.wasm", import.meta.url);
const SIZES = /** @type {const} */ ([
  ["1 kB", 1000, 4000],
  ["133 kB", 133_000, 1000],
]);
const AT_ONCE = [1, 16];
const CONTENTS = Object.fromEntries(SIZES.map(([, bytes]) => [`f${bytes}`, new Uint8Array(bytes)]));

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const subjects = [await toGuest(), ...(await overLoopback())];
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round <= run.rounds; round++) {
    for (const [size, bytes, requests] of SIZES) {
      for (const atOnce of AT_ONCE) {
        for (const { name, ask } of subjects) {
          const count = Math.ceil((requests * run.scale) / atOnce) * atOnce;
          const [rate, cpuUs] = await load(ask, `/f${bytes}`, bytes, count, atOnce);
          const row = { case: `${size}, ${atOnce} at once`, subject: name };
          if (round === 0) continue; // V8 optimises meanwhile
          samples.push(
            { ...row, metric: "rate", unit: "requests/s", value: rate },
            { ...row, metric: "CPU", unit: "us/request", value: cpuUs },
          );
        }
      }
    }
    run.note(`fetch, round ${round} of ${run.rounds}`);
  }
  for (const { stop } of subjects) stop();
  return samples;
}

/**
 * Requests per second, and microseconds of CPU time for each, of client and server together.
 * @param {Ask} ask
 * @param {string} path
 * @param {number} bytes
 * @param {number} count
 * @param {number} atOnce
 * @returns {Promise<[number, number]>}
 */
async function load(ask, path, bytes, count, atOnce) {
  const client = async () => {
    for (let i = 0; i < count / atOnce; i++) {
      const got = await ask(path);
      if (got !== bytes) throw new Error(`${path}: ${got} bytes`);
    }
  };
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  await Promise.all(Array.from({ length: atOnce }, client));
  const { user, system } = process.cpuUsage(cpu);
  return [(count / (performance.now() - started)) * 1000, (user + system) / count];
}

/** @returns {Promise<Subject>} */
async function toGuest() {
  const { FsDevice, Machine, MemoryFiles, VsockDevice } = await import("../../dist/host/index.js");
  const vsock = new VsockDevice();
  const files = new MemoryFiles(CONTENTS);
  const site = new FsDevice({ directory: "/", tag: "site", files });
  const devices = [vsock, site];
  const machine = await Machine.create({ image: IMAGE, parameters: "root=site", devices });
  machine.boot();
  await vsock.probe(80);
  return {
    name: "machine.fetch",
    ask: async (path) => {
      const response = await machine.fetch(`http://guest${path}`);
      return (await response.arrayBuffer()).byteLength;
    },
    stop: () => machine.dispose(),
  };
}

/** @returns {Promise<Subject[]>} */
async function overLoopback() {
  const server = http.createServer((request, response) => {
    response.end(CONTENTS[(request.url ?? "").slice(1)]);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const agent = new http.Agent({ keepAlive: true });
  /** @type {Ask} */
  const get = (path) =>
    new Promise((resolve, reject) => {
      const request = http.get({ host: "127.0.0.1", port, path, agent }, (response) => {
        let bytes = 0;
        response.on("data", (chunk) => {
          bytes += chunk.length;
        });
        response.on("end", () => resolve(bytes));
      });
      request.on("error", reject);
    });
  return [
    {
      name: "fetch, node:http",
      ask: async (path) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`);
        return (await response.arrayBuffer()).byteLength;
      },
      stop: () => server.close(),
    },
    { name: "http.get, node:http", ask: get, stop: () => agent.destroy() },
  ];
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const rates = rows.filter(({ metric }) => metric === "rate");
  const cases = [...new Set(rows.map((row) => row.case))];
  return [
    {
      title: "Requests per second within one thread",
      x: "",
      y: "requests/s",
      labels: cases,
      lines: [...new Set(rates.map(({ subject }) => subject))].map((name) => ({
        name,
        points: rates
          .filter(({ subject }) => subject === name)
          .map((row) => ({
            x: cases.indexOf(row.case),
            y: row.median,
            min: row.min,
            max: row.max,
          })),
      })),
    },
  ];
}
