// The network beside vsock and passt: bulk both ways, round trips, and WebServer. The same image,
// the same client on the same host; vsock is what it is measured against.
import { fileURLToPath } from "node:url";
import { runAb } from "../lib/clients.mjs";
import { cPrograms, Guest, pingPong, splitCores, transfer } from "../lib/machines.mjs";
import { moveOverNet, NetGuest, withoutPasst } from "../lib/net.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */

/** While the first gigabyte of a process moves, V8 compiles; later ones cost less. */
const FIRST_MB = 1000;
const MB = 4000;
const [SHORT, LONG] = [1500, 65520];
const PAGES = 64;
const WINDOW = 4 << 20;
const TRIPS = 10_000;
const TRIP_BYTES = [64, 8192];
const REQUESTS = 20_000;
const SITE = fileURLToPath(new URL("../../apps/web-server/site", import.meta.url));
const FILES = [
  { name: "small.html", bytes: 1024 },
  { name: "img/torito.png", bytes: 132833 },
];
const CLIENTS = 8;

export const ratioMetrics = ["rate", "CPU", "p50", "requests/s"];
export const pairsOf = () => [
  ["user, MTU 65520", "vsock"],
  ["user, MTU 1500", "vsock"],
  ["user, MTU 65520", "passt, MTU 65520"],
  ["user, MTU 1500", "passt, MTU 1500"],
];

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("net: nothing is measured: there is no cc to compile the peers with");
    return samples;
  }
  const reason = withoutPasst();
  if (reason !== null) run.note(`net: without passt: ${reason}`);
  const links = /** @type {const} */ (reason === null ? ["user", "passt"] : ["user"]);
  const subjects = links.flatMap((link) => [SHORT, LONG].map((mtu) => ({ link, mtu })));
  for (let round = 1; round <= run.rounds; round++) {
    for (const way of /** @type {const} */ (["rx", "tx"])) {
      samples.push(...(await vsockBulk(way, MB, run)));
      for (const { link, mtu } of subjects)
        samples.push(...(await netBulk(way, link, mtu, MB, run)));
      samples.push(...(await vsockBulk(way, FIRST_MB, run)));
      samples.push(...(await netBulk(way, "user", LONG, FIRST_MB, run)));
    }
    for (const bytes of TRIP_BYTES) {
      samples.push(...(await vsockTrips(bytes, run)));
      for (const mtu of [SHORT, LONG]) samples.push(...(await netTrips(bytes, mtu, run)));
    }
    for (const file of FILES) {
      samples.push(...(await vsockSite(file, run)));
      for (const mtu of [SHORT, LONG]) samples.push(...(await netSite(file, mtu, run)));
    }
    run.note(`net, round ${round} of ${run.rounds}`);
  }
  return samples;
}

const nameOf = (/** @type {string} */ link, /** @type {number} */ mtu) => `${link}, MTU ${mtu}`;
const bulkCase = (/** @type {"rx" | "tx"} */ way, mb = MB) =>
  `${mb === MB ? "bulk" : "the first GB"} ${way === "rx" ? "to" : "from"} the guest`;

/**
 * Samples of one row, or none, and then the run has failed.
 * @param {Run} run
 * @param {{ case: string, subject: string }} row
 * @param {() => Promise<{ metric: string, unit: string, value: number }[]>} body
 * @returns {Promise<Sample[]>}
 */
async function sample(run, row, body) {
  try {
    return (await body()).map((one) => ({ ...row, ...one }));
  } catch (error) {
    run.fail(`net, ${row.case}, ${row.subject}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/** @param {{ rate: number, cpu: number | null }} moved */
const figures = ({ rate, cpu }) => [
  { metric: "rate", unit: "MB/s", value: rate },
  ...(cpu === null ? [] : [{ metric: "CPU", unit: "us/MB", value: cpu }]),
];

const scaled = (/** @type {number} */ mb, /** @type {Run} */ run) =>
  Math.max(1, Math.round(mb * run.scale));

/** @param {"rx" | "tx"} way @param {number} mb @param {Run} run */
function vsockBulk(way, mb, run) {
  return sample(run, { case: bulkCase(way, mb), subject: "vsock" }, async () => {
    const parameters = `vsock.window=${WINDOW}`;
    return figures(await transfer(way, { memoryMB: 256 }, parameters, PAGES, scaled(mb, run)));
  });
}

/**
 * @param {"rx" | "tx"} way
 * @param {"user" | "passt"} link
 * @param {number} mtu
 * @param {number} mb
 * @param {Run} run
 */
function netBulk(way, link, mtu, mb, run) {
  return sample(run, { case: bulkCase(way, mb), subject: nameOf(link, mtu) }, async () =>
    figures(await moveOverNet(way, link, { parameters: "", mtu, mb: scaled(mb, run) })),
  );
}

/** @param {number} bytes @param {Run} run @param {(core?: number) => Promise<string>} reach */
async function trips(bytes, run, reach) {
  const { guest, peer } = splitCores();
  const count = Math.max(100, Math.round(TRIPS * run.scale));
  const { p50, p99 } = await pingPong("tcp", await reach(guest), bytes, count, peer);
  return [
    { metric: "p50", unit: "us", value: p50 },
    { metric: "p99", unit: "us", value: p99 },
  ];
}

/** @param {number} bytes @param {Run} run */
function vsockTrips(bytes, run) {
  return sample(run, { case: `round trip, ${bytes} B`, subject: "vsock" }, async () => {
    const guest = await Guest.start({ image: "echo", publish: [[7]] }, splitCores().guest);
    try {
      return await trips(bytes, run, async () => `${guest.port}`);
    } finally {
      await guest.stop();
    }
  });
}

/** @param {number} bytes @param {number} mtu @param {Run} run */
function netTrips(bytes, mtu, run) {
  return sample(run, { case: `round trip, ${bytes} B`, subject: nameOf("user", mtu) }, async () => {
    const guest = await NetGuest.start("user", { image: "echo", parameters: "", mtu, port: 7 });
    try {
      await guest.guest.said(/(listening on TCP port)/);
      return await trips(bytes, run, async () => guest.where);
    } finally {
      await guest.stop();
    }
  });
}

/** @param {{ name: string, bytes: number }} file @param {Run} run @param {number} port */
async function requests({ name, bytes }, run, port) {
  const requests = Math.max(200, Math.round(REQUESTS * run.scale));
  const url = `http://127.0.0.1:${port}/${name}`;
  const load = { connections: CLIENTS, keepAlive: true, requests, bytes, url };
  const { requestsPerSecond } = await runAb({ ...load, core: splitCores().peer });
  return [{ metric: "requests/s", unit: "", value: requestsPerSecond }];
}

/** @param {typeof FILES[number]} file @param {Run} run */
function vsockSite(file, run) {
  return sample(run, { case: `WebServer, ${file.bytes} B`, subject: "vsock" }, async () => {
    const configuration = { image: "web-server", publish: [[80]], site: SITE };
    const guest = await Guest.start(configuration, splitCores().guest);
    try {
      return await requests(file, run, guest.port);
    } finally {
      await guest.stop();
    }
  });
}

/** @param {typeof FILES[number]} file @param {number} mtu @param {Run} run */
function netSite(file, mtu, run) {
  const row = { case: `WebServer, ${file.bytes} B`, subject: nameOf("user", mtu) };
  return sample(run, row, async () => {
    const wanted = { image: "web-server", parameters: "", mtu, port: 80, site: SITE };
    const guest = await NetGuest.start("user", wanted);
    try {
      await guest.guest.said(/(listening on TCP port)/);
      return await requests(file, run, Number(guest.where));
    } finally {
      await guest.stop();
    }
  });
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  return /** @type {const} */ (["rx", "tx"]).map((way) => ({
    title: `${bulkCase(way)}, by MTU`,
    x: "MTU",
    y: "MB/s",
    lines: ["user", "passt"].map((link) => ({
      name: link,
      points: [SHORT, LONG].flatMap((x) => {
        const row = rows.find(
          (one) =>
            one.case === bulkCase(way) && one.subject === nameOf(link, x) && one.metric === "rate",
        );
        return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
      }),
    })),
  }));
}
