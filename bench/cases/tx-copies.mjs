// Sending in two copies, one copy and none, in one image: round trips by size, one way in bulk, and
// a web server. Beside each gain stands what the saved copies cost by themselves.
import { compile } from "../../tools/compile.mjs";
import { runAb, runWrk } from "../lib/clients.mjs";
import { cPrograms, Guest, pingPong, splitCores, transfer, transferred } from "../lib/machines.mjs";
import { has } from "../lib/programs.mjs";
import { sizeName, summarise } from "../lib/report.mjs";
import { findSite } from "../lib/servers.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */

const MODES = /** @type {const} */ (["zero-copy", "one-copy", "two-copy"]);
const SIZES = [64, 512, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 1048576];
/** Below and beyond these what a copy costs is less than what a round trip varies. */
const LEAST_SHOWN = 8192;
const MOST_SHOWN = 65536;
/** Round trips of a case move about so much. */
const BYTES = 64e6;
const COUNT_MAX = 8000;
/** Of each case in turn: a connection falls into one pattern of TCP, and stays there. */
const CONNECTIONS = 3;
/** Round trips until V8 has compiled what carries large messages. */
const WARM_UP = { size: 262144, count: 2000 };
const COPY_BYTES = 400e6;
const ONE_WAY_MB = 1000;
const ONE_WAY_PAGES = 64;
const ONE_WAY_RUNS = 2; // the first is V8's, which compiles meanwhile
const TOOLS = ["ab", "wrk"];
const AB_REQUESTS = 1000;
const WRK_SECONDS = 2;

/** Whose medians are compared, the first by the second. */
export const pairsOf = () => [
  ["zero-copy", "two-copy"],
  ["zero-copy", "one-copy"],
  ["one-copy", "two-copy"],
];
export const ratioMetrics = ["round trip", "rate", "CPU"];

/** @param {Run} run */
export async function measure(run) {
  if (cPrograms() === null) return missing(run);
  /** @type {Sample[]} */
  const samples = [];
  const { guest: core } = splitCores();
  const site = findSite();
  const echoes = new Map();
  const servers = new Map();
  for (const mode of MODES) {
    const parameters = `vsock.send=${mode}`;
    const echo = await Guest.start({ image: "echo", parameters, publish: [[7]] }, core);
    echoes.set(mode, echo);
    const count = Math.ceil(WARM_UP.count * run.scale);
    await pingPong("tcp", echo.port, WARM_UP.size, count, core);
    const web = { image: "web-server", parameters, publish: [[80]], site: site.folder };
    servers.set(mode, await Guest.start(web, core));
  }
  for (let round = 0; round <= run.rounds; round++) {
    /** @type {Sample[]} */
    const taken = [];
    for (const size of SIZES) {
      const trips = [];
      for (let i = 0; i < CONNECTIONS; i++) {
        for (const mode of inTurn(round + i))
          trips.push(await roundTrips(echoes.get(mode), mode, size, run));
      }
      const middle = medians(trips.flat());
      taken.push(...middle, ...saved(middle), await copyTime(size, run));
    }
    for (const mode of inTurn(round)) {
      const mb = Math.max(1, Math.round(ONE_WAY_MB * run.scale));
      const parameters = `vsock.send=${mode}`;
      const figures = await transfer("tx", {}, parameters, ONE_WAY_PAGES, mb, ONE_WAY_RUNS);
      taken.push(...transferred({ case: "one way", subject: mode }, figures));
    }
    for (const tool of TOOLS.filter(has)) {
      for (const mode of inTurn(round)) {
        taken.push(...(await web(servers.get(mode), mode, tool, site, run)));
      }
    }
    run.note(`tx-copies, round ${round} of ${run.rounds}`);
    if (round > 0) samples.push(...taken);
  }
  for (const guest of [...echoes.values(), ...servers.values()]) await guest.stop();
  for (const tool of TOOLS) {
    if (!has(tool)) run.note(`tx-copies: no rows of ${tool}: it is not installed`);
  }
  return samples;
}

/** Each mode is the first one as often as the others. @param {number} turn */
function inTurn(turn) {
  const first = turn % MODES.length;
  return [...MODES.slice(first), ...MODES.slice(0, first)];
}

/** @param {Run} run @returns {Sample[]} */
function missing(run) {
  run.note("tx-copies: nothing is measured: there is no cc to compile the client with");
  return [];
}

/**
 * @param {Guest} guest
 * @param {string} mode
 * @param {number} size
 * @param {Run} run
 * @returns {Promise<Sample[]>}
 */
async function roundTrips(guest, mode, size, run) {
  const { guest: core } = splitCores();
  const all = Math.min(COUNT_MAX, BYTES / size) * run.scale;
  const count = Math.max(20, Math.round(all / CONNECTIONS));
  const before = guest.program.cpuUs();
  const { p50 } = await pingPong("tcp", guest.port, size, count, core);
  const after = guest.program.cpuUs();
  const row = { case: sizeName(size), subject: mode };
  /** @type {Sample[]} */
  const samples = [{ ...row, metric: "round trip", unit: "us", value: p50 }];
  if (before !== null && after !== null) {
    // The client warms up with a tenth of them.
    const value = (after - before) / (count * 1.1);
    samples.push({ ...row, metric: "CPU", unit: "us/round trip", value });
  }
  return samples;
}

/** Of the samples of several connections. @param {Sample[]} trips @returns {Sample[]} */
function medians(trips) {
  return summarise(trips).map(({ median, min, max, n, ...row }) => ({ ...row, value: median }));
}

const SAVED = "saved against two-copy";
const A_COPY = "one copy costs";

/** How much less time the round trips of other modes took. @param {Sample[]} trips */
function saved(trips) {
  const times = trips.filter(({ metric }) => metric === "round trip");
  const base = times.find(({ subject }) => subject === "two-copy")?.value ?? Number.NaN;
  return times
    .filter(({ subject }) => subject !== "two-copy")
    .map((one) => ({ ...one, metric: SAVED, value: base - one.value }));
}

/** @type {Promise<import("../../dist/host/machine.js").Machine> | null} */
let copier = null;

async function makeCopier() {
  const { Machine } = await import("../../dist/host/index.js");
  const { wasm } = await compile("bench/guest/copy.ts", "release", { kind: "calls" });
  const machine = await Machine.create({ image: wasm });
  machine.boot();
  return machine;
}

/**
 * Time of one copy of `size` bytes: the least that a mode with one copy fewer gains.
 * @param {number} size
 * @param {Run} run
 * @returns {Promise<Sample>}
 */
async function copyTime(size, run) {
  copier ??= makeCopier();
  const machine = await copier;
  const count = Math.max(10, Math.round((COPY_BYTES * run.scale) / Math.max(size, 4096)));
  const ns = Number(machine.call("copies", size, count));
  const row = { case: sizeName(size), subject: A_COPY, metric: SAVED, unit: "us" };
  return { ...row, value: ns / count / 1e3 };
}

/** @typedef {{ requests: number, requestsPerSecond: number }} Load */
/**
 * A web server's large file: one connection after the other, as Toro measured, and 64 that stay.
 * @param {string} tool @param {string} url @param {number} bytes @param {Run} run
 * @returns {[name: string, load: () => Promise<Load>]}
 */
function webLoad(tool, url, bytes, run) {
  const { guest, peer } = splitCores();
  if (tool === "ab") {
    const requests = Math.max(50, Math.round(AB_REQUESTS * run.scale));
    const load = { connections: 1, keepAlive: false, requests, bytes, url, core: guest };
    return ["ab -c 1, 133 kB", () => runAb(load)];
  }
  const seconds = Math.max(1, Math.round(WRK_SECONDS * run.scale));
  const load = { connections: 64, seconds, bytes, url, core: peer };
  return ["wrk -c 64, 133 kB", () => runWrk(load)];
}

/**
 * @param {Guest} server
 * @param {string} mode
 * @param {string} tool
 * @param {import("../lib/servers.mjs").Site} site
 * @param {Run} run
 * @returns {Promise<Sample[]>}
 */
async function web(server, mode, tool, site, run) {
  const { path, bytes } = site.large;
  const [name, load] = webLoad(tool, `http://127.0.0.1:${server.port}${path}`, bytes, run);
  const before = server.program.cpuUs();
  const { requests, requestsPerSecond } = await load();
  const after = server.program.cpuUs();
  const row = { case: name, subject: mode };
  /** @type {Sample[]} */
  const samples = [{ ...row, metric: "rate", unit: "requests/s", value: requestsPerSecond }];
  if (before !== null && after !== null) {
    samples.push({ ...row, metric: "CPU", unit: "us/request", value: (after - before) / requests });
  }
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  /** @param {string} subject @param {string} metric @param {string} name */
  const find = (subject, metric, name) =>
    rows.find((row) => row.subject === subject && row.metric === metric && row.case === name);
  /** @param {string} metric @param {readonly [x: number, name: string][]} cases */
  const against = (metric, cases) =>
    ["zero-copy", "one-copy"].map((name) => ({
      name,
      points: cases.flatMap(([x, one]) => {
        const ours = find(name, metric, one)?.median;
        const base = find("two-copy", metric, one)?.median;
        return ours === undefined || base === undefined ? [] : [{ x, y: ours / base }];
      }),
    }));
  const sizes = SIZES.map((x) => /** @type {[number, string]} */ ([x, sizeName(x)]));
  const labels = [...new Set(rows.filter((row) => row.metric === "rate").map((row) => row.case))];
  const rates = {
    title: "Sending: rate against two copies",
    x: "",
    y: "rate, two copies = 1",
    reference: 1,
    labels,
    lines: against("rate", [...labels.entries()]),
  };
  const times = ["round trip", "CPU"].map((metric) => ({
    title: `Sending: ${metric} of a ping-pong against two copies`,
    x: "bytes",
    y: `${metric}, two copies = 1`,
    reference: 1,
    lines: against(metric, sizes),
  }));
  const gains = ["zero-copy", "one-copy", A_COPY].map((name) => ({
    name,
    points: sizes.flatMap(([x, one]) => {
      const row = find(name, SAVED, one);
      const isShown = x >= LEAST_SHOWN && x <= MOST_SHOWN;
      return row === undefined || !isShown ? [] : [{ x, y: row.median }];
    }),
  }));
  const title = "Sending: what a round trip saves against two copies, and what a copy costs";
  return [...times, { title, x: "bytes", y: "us", reference: 0, lines: gains }, rates];
}
