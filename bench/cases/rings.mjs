// Rings and buffers: how ring size, buffer policy, header, indirect descriptors and the page pool
// change bulk transfer. Credit is raised so that the ring is what binds.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile } from "../../tools/compile.mjs";
import {
  bulk,
  cPrograms,
  Guest,
  pingPong,
  splitCores,
  transfer,
  transferred,
} from "../lib/machines.mjs";
import { makeFolder } from "../lib/programs.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */
/** @typedef {{ name: string, parameters: string, way: "rx" | "tx", bytes: number }} Policy */

const MB = 1000;
const RUNS = 2; // the first is V8's, which compiles meanwhile
const PAGES = 64;
const MEMORY_MB = 512;
/** Beyond this the heap cannot hold the posted buffers and all else. */
const POSTED_MAX = (MEMORY_MB * 1024 * 1024) / 4;
const WINDOW = 32 << 20;
/** Of each busy connection. */
const ROUND_TRIPS = 4000;
const DEFAULT = "default";
const RX_SIZES = [32, 128, 512, 2048, 32768];
const TX_SIZES = [32, 128, 512, 2048, 32768];
const PROFILED = [DEFAULT, "small, ring 128", "page, ring 128", "large, ring 128", "one-copy"];
const CAPACITY = { small: 1526, page: 4140, large: 65580 };

export const ratioMetrics = ["rate", "CPU", "time"];
/** @param {readonly import("../lib/report.mjs").Row[]} rows */
export function pairsOf(rows) {
  const bulk = rows.filter((row) => row.case === caseOf("rx") || row.case === caseOf("tx"));
  const policies = new Set(bulk.map((row) => row.subject));
  policies.delete(DEFAULT);
  const pairs = [...policies].map((policy) => [policy, DEFAULT]);
  return [["device of its own", "shared device"], ["page pool", "heap"], ...pairs];
}

/** @returns {Policy[]} */
function policies() {
  /** @type {Policy[]} */
  const list = [];
  const rx = (/** @type {string} */ name, /** @type {string} */ parameters, bytes = 0) =>
    list.push({ name, parameters, way: "rx", bytes });
  const tx = (/** @type {string} */ name, /** @type {string} */ parameters, bytes = 0) =>
    list.push({ name, parameters, way: "tx", bytes });
  rx(DEFAULT, "");
  for (const [kind, capacity] of Object.entries(CAPACITY)) {
    for (const size of RX_SIZES) {
      const parameters = `vsock.rx_buffers=${kind} vsock.rx_ring=${size}`;
      rx(`${kind}, ring ${size}`, parameters, capacity * size);
    }
  }
  for (const size of RX_SIZES) rx(`mixed, ring ${size}`, `vsock.rx_ring=${size}`, 4140 * size);
  rx("page, header inline", "vsock.rx_buffers=page vsock.rx_header=inline");
  rx("page, not indirect", "vsock.rx_buffers=page vsock.indirect=off");
  rx(
    "page, inline, not indirect",
    "vsock.rx_buffers=page vsock.rx_header=inline vsock.indirect=off",
  );
  rx("page, no pool", "vsock.rx_buffers=page vsock.page_pool=off");
  rx("large, no pool", "vsock.rx_buffers=large vsock.page_pool=off");
  tx(DEFAULT, "");
  for (const size of TX_SIZES) tx(`ring ${size}`, `vsock.tx_ring=${size}`, size * 272);
  tx("not indirect", "vsock.indirect=off");
  tx("one-copy", "vsock.send=one-copy");
  tx("one-copy, no pool", "vsock.send=one-copy vsock.page_pool=off");
  return list;
}

/** @param {Policy["way"]} way */
const caseOf = (way) => (way === "rx" ? "to the guest" : "from the guest");

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("rings: nothing is measured: there is no cc to compile the peer with");
    return samples;
  }
  const fitting = policies().filter(({ name, way, bytes }) => {
    if (bytes <= POSTED_MAX) return true;
    run.note(`rings: ${caseOf(way)}, ${name}: not run, its buffers do not fit in ${MEMORY_MB} MiB`);
    return false;
  });
  const mb = Math.max(1, Math.round(MB * run.scale));
  for (let round = 1; round <= run.rounds; round++) {
    for (const policy of fitting) samples.push(...(await carry(policy, mb, run)));
    for (const devices of [1, 2]) samples.push(...(await beside(devices, mb, run)));
    samples.push(...(await allocations(run)));
    run.note(`rings, round ${round} of ${run.rounds}`);
  }
  for (const policy of fitting) {
    if (PROFILED.includes(policy.name)) samples.push(...(await whereTimeGoes(policy, mb, run)));
  }
  return samples;
}

const configuration = { memoryMB: MEMORY_MB, bufAlloc: WINDOW };
const all = (/** @type {string} */ parameters) => `vsock.window=${WINDOW} ${parameters}`;

/** @param {Policy} policy @param {number} mb @param {Run} run @returns {Promise<Sample[]>} */
async function carry({ name, parameters, way }, mb, run) {
  const row = { case: caseOf(way), subject: name };
  try {
    const figures = await transfer(way, configuration, all(parameters), PAGES, mb, RUNS);
    const value = figures.posted;
    const fits = { ...row, metric: "packets in the ring", unit: "", value };
    return [...(way === "rx" ? [fits] : []), ...transferred(row, figures)];
  } catch (error) {
    run.fail(`rings, ${row.case}, ${name}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/** Once, in a guest of its own: sampling costs. @param {Policy} policy */
async function whereTimeGoes(
  { name, parameters, way },
  /** @type {number} */ mb,
  /** @type {Run} */ run,
) {
  const row = { case: `${caseOf(way)}: time of`, subject: name, unit: "%" };
  try {
    const profiled = { ...configuration, profiled: true };
    const { shares } = await transfer(way, profiled, all(parameters), PAGES, mb);
    return shares.map(([metric, value]) => ({ ...row, metric, value }));
  } catch (error) {
    run.fail(`rings, profile of ${name}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/** Cost of a buffer by itself. @param {Run} run @returns {Promise<Sample[]>} */
async function allocations(run) {
  const { Machine } = await import("../../dist/host/index.js");
  poolImage ??= compile("bench/guest/pool.ts", "release", { kind: "calls" }).then(
    ({ wasm }) => wasm,
  );
  /** @type {Sample[]} */
  const samples = [];
  for (const [subject, pooling] of [
    ["page pool", "on"],
    ["heap", "off"],
  ]) {
    const parameters = `vsock.page_pool=${pooling}`;
    const machine = await Machine.create({ image: await poolImage, parameters });
    machine.boot();
    for (const [kind, bytes] of Object.entries(CAPACITY)) {
      const turns = Math.ceil(20_000 * run.scale);
      const take = () => machine.call("takeAndGive", machine.global(kind.toUpperCase()), turns);
      take(); // V8 optimises meanwhile
      const value = Number(take()) / turns / 32;
      const name = `a buffer of ${bytes} bytes`;
      samples.push({ case: name, subject: subject ?? "", metric: "time", unit: "ns", value });
    }
    machine.dispose();
  }
  return samples;
}

/** @type {Promise<Uint8Array<ArrayBuffer>> | null} */
let poolImage = null;

/** @type {Promise<string> | null} */
let image = null;

async function besideImage() {
  const { wasm } = await compile("bench/guest/beside.ts", "release");
  const path = join(makeFolder(), "beside.wasm");
  writeFileSync(path, wasm);
  return path;
}

/**
 * Bulk into one socket while four echo connections are busy, on one device or on one of its own.
 * @param {number} devices
 * @param {number} mb
 * @param {Run} run
 * @returns {Promise<Sample[]>}
 */
async function beside(devices, mb, run) {
  const { guest: core, peer } = splitCores();
  const subject = devices === 1 ? "shared device" : "device of its own";
  image ??= besideImage();
  const publish = devices === 1 ? [[7, 1234]] : [[7], [1234]];
  const parameters = `device=${devices - 1}`;
  const guest = await Guest.start({ image: await image, parameters, publish }, core);
  try {
    const [echo = 0, sink = 0] = guest.ports;
    const trips = Math.max(100, Math.round(ROUND_TRIPS * run.scale));
    const busy = Array.from({ length: 4 }, () => pingPong("tcp", echo, 1024, trips, peer));
    const { bytes, seconds } = await bulk("source", "tcp", sink, 262144, mb, peer);
    await Promise.all(busy);
    const value = bytes / 1e6 / seconds;
    return [{ case: "beside four busy connections", subject, metric: "rate", unit: "MB/s", value }];
  } catch (error) {
    run.fail(`rings, ${subject}: ${/** @type {Error} */ (error).message}`);
    return [];
  } finally {
    await guest.stop();
  }
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const find = (/** @type {string} */ subject, /** @type {string} */ way) =>
    rows.find((row) => row.case === way && row.subject === subject && row.metric === "rate");
  const line = (/** @type {string} */ name, /** @type {string} */ way, prefix = `${name}, `) => ({
    name,
    points: RX_SIZES.flatMap((x) => {
      const row = find(`${prefix}ring ${x}`, way);
      return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
    }),
  });
  return [
    {
      title: "To the guest, by ring size and receive buffers",
      x: "entries of the rx ring",
      y: "MB/s",
      lines: ["small", "page", "large", "mixed"].map((name) => line(name, "to the guest")),
    },
    {
      title: "From the guest, by ring size",
      x: "entries of the tx ring",
      y: "MB/s",
      lines: [line("zero-copy", "from the guest", "")],
    },
  ];
}
