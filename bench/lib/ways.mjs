// torito serving small files in several ways, each by flags of its own, beside each other. Over
// kept connections a request is cheapest, and so an addition shows most.
import { runWrk } from "./clients.mjs";
import { has } from "./programs.mjs";
import { findSite, startServer, subjects } from "./servers.mjs";

/** @typedef {import("./report.mjs").Sample} Sample */
/** @typedef {import("./servers.mjs").Server} Server */
/**
 * `begin` is called before each run, and what it returns after it.
 * @typedef {{ name: string, flags: readonly string[], begin?: () => () => void }} Way
 */
/** @typedef {{ client: number | undefined, server: number | undefined }} Cores */

const CONNECTIONS = 64;
const SECONDS = 4;
const CASE = `c${CONNECTIONS} wrk 1 kB`;

/**
 * Every round runs each of them, and begins with another one. The first round warms up.
 * @param {string} name
 * @param {readonly Way[]} ways
 * @param {Cores} cores
 * @param {import("../run.mjs").Run} run
 */
export async function measureWays(name, ways, cores, run) {
  /** @type {Sample[]} */
  const samples = [];
  if (!has("wrk")) {
    run.note(`${name}: wrk is not installed`);
    return samples;
  }
  const site = findSite();
  const running = [];
  for (const way of ways) running.push({ way, server: await start(way, site, cores.server) });
  for (let round = 0; round <= run.rounds; round++) {
    const first = round % running.length;
    for (const one of [...running.slice(first), ...running.slice(0, first)]) {
      const line = `${name}, round ${round} of ${run.rounds}, ${one.way.name}`;
      try {
        const sampled = await sample(one, site.small, cores.client, run.scale);
        run.note(`${line}: ${sampled.map(({ value }) => value.toFixed(2)).join(", ")}`);
        if (round > 0) samples.push(...sampled);
      } catch (error) {
        run.fail(`${line}: ${/** @type {Error} */ (error).message}`);
      }
    }
  }
  for (const { server } of running) await server.program.stop();
  return samples;
}

/**
 * @param {Way} way
 * @param {import("./servers.mjs").Site} site
 * @param {number | undefined} core
 */
function start({ name, flags }, site, core) {
  const [torito] = subjects;
  if (torito === undefined) throw new Error("torito is not among the subjects");
  const subject = {
    ...torito,
    name,
    command: async (
      /** @type {import("./servers.mjs").Site} */ served,
      /** @type {number} */ port,
    ) => [...(await torito.command(served, port)), ...flags],
  };
  return startServer(subject, site, core);
}

/**
 * @param {{ way: Way, server: Server }} one
 * @param {import("./servers.mjs").File} file
 * @param {number | undefined} core
 * @param {number} scale
 * @returns {Promise<Sample[]>}
 */
async function sample({ way, server }, { path, bytes }, core, scale) {
  const url = `http://127.0.0.1:${server.port}${path}`;
  const seconds = Math.max(1, Math.round(SECONDS * scale));
  const end = way.begin?.() ?? (() => {});
  const before = server.program.cpuUs();
  const load = { connections: CONNECTIONS, seconds, bytes, url, core };
  const { requests, requestsPerSecond } = await runWrk(load).finally(end);
  const after = server.program.cpuUs();
  const row = { case: CASE, subject: way.name };
  const rate = { ...row, metric: "rate", unit: "requests/s", value: requestsPerSecond };
  if (before === null || after === null) return [rate];
  const value = (after - before) / requests;
  return [rate, { ...row, metric: "server CPU", unit: "us/request", value }];
}
