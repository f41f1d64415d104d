// A static file over HTTP: torito beside nginx and Node's http with sirv. One connection is
// measured with client and server on one core, where the rate is 1 / (their CPU time) whatever else
// the machine does; many connections on two cores.
import { runAb, runWrk } from "../lib/clients.mjs";
import { has, usableCores } from "../lib/programs.mjs";
import { findSite, startServer, subjects } from "../lib/servers.mjs";

/** @typedef {import("../lib/servers.mjs").Server} Server */
/** @typedef {import("../lib/servers.mjs").Site} Site */
/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../lib/clients.mjs").Figures} Figures */
/** @typedef {{ client: number | undefined, server: number | undefined }} Cores */
/**
 * @typedef {{ name: string, tool: string, placement: "same core" | "split cores", path: string,
 *   connections: number, load: (url: string, core: number | undefined) => Promise<Figures> }} Case
 */

export const ratioMetrics = ["rate", "server CPU"];
/** Whose medians are compared, the first by the second. */
export const pairsOf = () =>
  subjects.filter(({ name }) => name !== "torito").map(({ name }) => ["torito", name]);

const REQUESTS_MIN = 200;

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const site = findSite();
  for (const { name, missing } of subjects) {
    if (missing !== null) run.note(`http: no ${name}: ${missing}`);
  }
  const cases = usableCases(casesFor(site, run.scale), run);
  /** @type {Sample[]} */
  const samples = [];
  for (const [placement, cores] of Object.entries(placements(run))) {
    const placed = cases.filter((one) => one.placement === placement);
    if (placed.length === 0) continue;
    const servers = await startServers(site, cores, run);
    samples.push(...(await measurePlaced(placed, servers, cores, run)));
    for (const { program } of servers) await program.stop();
  }
  return samples;
}

/** @param {Site} site @param {number} scale @returns {Case[]} */
function casesFor({ large, small }, scale) {
  const sized = /** @type {const} */ ([
    ["133 kB", large],
    ["1 kB", small],
  ]);
  /**
   * @param {Case["placement"]} placement
   * @param {number} connections
   * @param {boolean} keepAlive
   * @param {[number, number]} counts requests for the large file, and for the small one
   * @returns {Case[]}
   */
  const ab = (placement, connections, keepAlive, counts) =>
    sized.map(([size, { path, bytes }], i) => ({
      name: `c${connections} ${keepAlive ? "keep-alive" : "close"} ${size}`,
      tool: "ab",
      placement,
      path,
      connections,
      load: (url, core) => {
        const requests = Math.max(REQUESTS_MIN, Math.round((counts[i] ?? 0) * scale));
        return runAb({ connections, keepAlive, requests, bytes, url, core });
      },
    }));
  /** @type {Case[]} */
  const wrk = sized.map(([size, { path, bytes }]) => ({
    name: `c64 wrk ${size}`,
    tool: "wrk",
    placement: "split cores",
    path,
    connections: 64,
    load: (url, core) => {
      const seconds = Math.max(1, Math.round(3 * scale));
      return runWrk({ connections: 64, seconds, bytes, url, core });
    },
  }));
  return [
    ...ab("same core", 1, false, [1500, 2000]),
    ...ab("same core", 1, true, [3000, 5000]),
    ...ab("split cores", 50, false, [20_000, 20_000]),
    ...ab("split cores", 50, true, [20_000, 20_000]),
    ...wrk,
  ];
}

/** @param {Case[]} cases @param {import("../run.mjs").Run} run */
function usableCases(cases, run) {
  const tools = [...new Set(cases.map(({ tool }) => tool))].filter((tool) => {
    if (!has(tool)) run.note(`http: no rows of ${tool}: it is not installed`);
    return has(tool);
  });
  return cases.filter(({ tool }) => tools.includes(tool));
}

/** @param {import("../run.mjs").Run} run @returns {Record<Case["placement"], Cores>} */
function placements(run) {
  const [first, second] = usableCores();
  if (first === undefined) run.note("http: nothing is pinned to a core: there is no taskset");
  else if (second === undefined) run.note("http: one core only: nothing is split");
  return {
    "same core": { client: first, server: first },
    "split cores": { client: first, server: second ?? first },
  };
}

/** @param {Site} site @param {Cores} cores @param {import("../run.mjs").Run} run */
async function startServers(site, cores, run) {
  /** @type {Server[]} */
  const servers = [];
  for (const subject of subjects) {
    if (subject.missing !== null) continue;
    try {
      servers.push(await startServer(subject, site, cores.server));
    } catch (error) {
      run.fail(`http: ${/** @type {Error} */ (error).message}`);
    }
  }
  return servers;
}

/**
 * Every round runs every case on every server in turn, so that what disturbs the machine disturbs
 * all alike, and each follows each of the others. The first round warms up.
 * @param {Case[]} cases
 * @param {Server[]} servers
 * @param {Cores} cores
 * @param {import("../run.mjs").Run} run
 */
async function measurePlaced(cases, servers, cores, run) {
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round <= run.rounds; round++) {
    for (const one of cases) {
      const first = round % servers.length;
      for (const server of [...servers.slice(first), ...servers.slice(0, first)]) {
        if (one.connections > server.connectionsMax) continue;
        const line = `http, ${one.placement}, round ${round} of ${run.rounds}, ${one.name}, `;
        try {
          const sampled = await sample(one, server, cores.client);
          const figures = sampled.map(({ value, unit }) => `${value.toFixed(1)} ${unit}`);
          run.note(`${line}${server.name}: ${figures.join(", ")}`);
          if (round > 0) samples.push(...sampled);
        } catch (error) {
          run.fail(`${line}${server.name}: ${/** @type {Error} */ (error).message}`);
        }
      }
    }
  }
  return samples;
}

/**
 * @param {Case} one
 * @param {Server} server
 * @param {number | undefined} core
 * @returns {Promise<Sample[]>}
 */
async function sample({ name, path, load }, { name: subject, port, program }, core) {
  const before = program.cpuUs();
  const { requests, requestsPerSecond } = await load(`http://127.0.0.1:${port}${path}`, core);
  const after = program.cpuUs();
  const row = { case: name, subject };
  const rate = { ...row, metric: "rate", unit: "requests/s", value: requestsPerSecond };
  if (before === null || after === null) return [rate];
  const value = (after - before) / requests;
  return [rate, { ...row, metric: "server CPU", unit: "us/request", value }];
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const cases = [...new Set(rows.map((row) => row.case))];
  return [
    {
      title: "HTTP: requests per second against nginx",
      x: "",
      y: "nginx = 1",
      labels: cases,
      reference: 1,
      lines: subjects.flatMap(({ name }) => {
        const points = cases.flatMap((one, x) => {
          const find = (/** @type {string} */ subject) =>
            rows.find((row) => row.case === one && row.subject === subject && row.metric === "rate")
              ?.median;
          const ours = find(name);
          const nginx = find("nginx");
          return ours === undefined || nginx === undefined ? [] : [{ x, y: ours / nginx }];
        });
        return points.length === 0 ? [] : [{ name, points }];
      }),
    },
  ];
}
