// The cost of operating a server: the access log in both formats, the admin listener, and its
// metrics when they are asked for each second, beside the same server without any of them. Small
// files on kept connections, where a request is cheapest and so an addition shows most.
import http from "node:http";
import { join } from "node:path";
import { runWrk } from "../lib/clients.mjs";
import { findFreePort, has, makeFolder, usableCores } from "../lib/programs.mjs";
import { findSite, startServer, subjects } from "../lib/servers.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../lib/servers.mjs").Server} Server */

const CONNECTIONS = 64;
const SECONDS = 4;
const SCRAPE_MS = 1000;
const CASE = `c${CONNECTIONS} wrk 1 kB`;

/** Flags of each, and whether its metrics are asked for. */
const WAYS = /** @type {const} */ ([
  { name: "plain", flags: [], isScraped: false },
  { name: "log combined", flags: ["--access-log", "LOG"], isScraped: false },
  {
    name: "log json",
    flags: ["--access-log", "LOG", "--access-log-format", "json"],
    isScraped: false,
  },
  { name: "admin", flags: ["--admin", "ADMIN"], isScraped: false },
  { name: "admin scraped", flags: ["--admin", "ADMIN"], isScraped: true },
]);
/** @typedef {typeof WAYS[number]} Way */

export const ratioMetrics = ["rate", "server CPU"];
export const pairsOf = () => WAYS.slice(1).map(({ name }) => [name, "plain"]);

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (!has("wrk")) {
    run.note("operating: wrk is not installed");
    return samples;
  }
  const [client, server = client] = usableCores();
  const site = findSite();
  const running = [];
  for (const way of WAYS) running.push({ way, ...(await start(way, site, server)) });
  for (let round = 0; round <= run.rounds; round++) {
    const first = round % running.length;
    for (const one of [...running.slice(first), ...running.slice(0, first)]) {
      const line = `operating, round ${round} of ${run.rounds}, ${one.way.name}`;
      try {
        const sampled = await sample(one, site.small, client, run.scale);
        run.note(`${line}: ${sampled.map(({ value }) => value.toFixed(2)).join(", ")}`);
        if (round > 0) samples.push(...sampled);
      } catch (error) {
        run.fail(`${line}: ${/** @type {Error} */ (error).message}`);
      }
    }
  }
  for (const { server: each } of running) await each.program.stop();
  return samples;
}

/**
 * @param {Way} way
 * @param {import("../lib/servers.mjs").Site} site
 * @param {number | undefined} core
 */
async function start(way, site, core) {
  const [torito] = subjects;
  if (torito === undefined) throw new Error("torito is not among the subjects");
  const admin = await findFreePort();
  const log = join(makeFolder(), "access.log");
  const flags = way.flags.map((flag) =>
    flag === "LOG" ? log : flag === "ADMIN" ? `${admin}` : flag,
  );
  const subject = {
    ...torito,
    name: way.name,
    command: async (
      /** @type {import("../lib/servers.mjs").Site} */ served,
      /** @type {number} */ port,
    ) => [...(await torito.command(served, port)), ...flags],
  };
  return { admin, server: await startServer(subject, site, core) };
}

/**
 * @param {{ way: Way, admin: number, server: Server }} one
 * @param {import("../lib/servers.mjs").File} file
 * @param {number | undefined} core
 * @param {number} scale
 * @returns {Promise<Sample[]>}
 */
async function sample({ way, admin, server }, { path, bytes }, core, scale) {
  const url = `http://127.0.0.1:${server.port}${path}`;
  const seconds = Math.max(1, Math.round(SECONDS * scale));
  const scraping = way.isScraped ? setInterval(() => scrape(admin), SCRAPE_MS) : undefined;
  const before = server.program.cpuUs();
  const load = { connections: CONNECTIONS, seconds, bytes, url, core };
  const { requests, requestsPerSecond } = await runWrk(load).finally(() => clearInterval(scraping));
  const after = server.program.cpuUs();
  const row = { case: CASE, subject: way.name };
  const rate = { ...row, metric: "rate", unit: "requests/s", value: requestsPerSecond };
  if (before === null || after === null) return [rate];
  const value = (after - before) / requests;
  return [rate, { ...row, metric: "server CPU", unit: "us/request", value }];
}

/** @param {number} port */
function scrape(port) {
  const request = http.get({ host: "127.0.0.1", port, path: "/metrics" }, (response) =>
    response.resume(),
  );
  request.on("error", () => {}); // the sample shows what the answers cost, not that they came
}

/** Its figures are a table. */
export const panels = () => [];
