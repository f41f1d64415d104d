// Rings and receive buffers of a network card: the study "Tuning VirtIO and virtio_net, part I"
// (Russell, 2008) over TCP, with Linux at the other end of a tap, as then, and with the `user`
// network, and vsock beside it. Frames, buffers, descriptors, interrupts, kicks and allocations are
// exact; seconds are not.
import { cPrograms, transfer } from "../lib/machines.mjs";
import { moveOverNet, withoutTap } from "../lib/net.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */
/**
 * `mtus`: with frames of which sizes it is run.
 * @typedef {{ name: string, parameters: string, card?: Record<string, unknown>, way?: "rx" | "tx",
 *   mtus?: number[], memoryMB?: number }} Mode
 */

/** The study's gigabyte is 1024^3 bytes. */
const MB = 1073.741824;
const SHORT = 1500;
const LONG = 65520;
const SMALL = "small";
/** The original: a header, 16 pages and two more descriptors, none of them indirect. */
const PAGED = "net.rx_buffers=paged net.indirect=off";

/** @type {Mode[]} */
const MODES = [
  { name: SMALL, parameters: "net.rx_buffers=small", mtus: [SHORT] },
  { name: "paged, ring 128", parameters: PAGED },
  ...[256, 1024, 2048, 32768].map((ring) => ({
    name: `paged, ring ${ring}`,
    parameters: `${PAGED} net.rx_ring=${ring}`,
    memoryMB: ring > 2048 ? 1024 : 512,
  })),
  {
    name: "paged, ring 1024, no page pool",
    parameters: `${PAGED} net.rx_ring=1024 net.page_pool=off`,
    memoryMB: 512,
  },
  { name: "paged, indirect", parameters: "net.rx_buffers=paged" },
  { name: "contiguous", parameters: "net.rx_buffers=large net.indirect=off" },
  { name: "contiguous, indirect", parameters: "net.rx_buffers=large" },
  { name: "mixed, first that fits", parameters: "net.rx_buffers=mixed" },
  { name: "mixed, smallest that fits", parameters: "net.rx_buffers=mixed", card: { pick: "fit" } },
  {
    name: "large ones in a second queue",
    parameters: "net.rx_buffers=mixed net.pairs=2",
    card: { pairs: 2, steer: "size" },
  },
  { name: "mergeable", parameters: "net.rx_buffers=mergeable" },
  ...["sync", "lazy", "interrupt"].map((mode) => ({
    name: `sends, ${mode}`,
    parameters: `net.tx_complete=${mode}`,
    way: /** @type {"tx"} */ ("tx"),
  })),
];
/** Where does time go? */
const PROFILED = [SMALL, "paged, ring 128", "contiguous", "mergeable"];
const COUNTS = {
  rx: [
    ...["framesToGuest", "buffersToGuest", "descriptorsToGuest", "interrupts", "kicks"],
    "allocations",
  ],
  tx: ["framesFromGuest", "interrupts", "kicks", "allocations"],
};

export const ratioMetrics = ["time", "CPU"];
/** @param {readonly import("../lib/report.mjs").Row[]} rows */
export function pairsOf(rows) {
  const subjects = new Set(rows.map((row) => row.subject));
  subjects.delete(SMALL);
  return [...subjects].map((subject) => [subject, SMALL]);
}

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("net-rings: nothing is measured: there is no cc to compile the peers with");
    return samples;
  }
  const reason = withoutTap();
  if (reason !== null) run.note(`net-rings: without a tap to Linux: ${reason}`);
  const links = /** @type {const} */ (reason === null ? ["tap", "user"] : ["user"]);
  const mb = Math.max(1, Math.round(MB * run.scale));
  for (let round = 1; round <= run.rounds; round++) {
    for (const link of links) {
      for (const mode of MODES) {
        for (const mtu of mode.mtus ?? [SHORT, LONG]) {
          samples.push(...(await carry(mode, link, mtu, mb, run)));
        }
      }
    }
    samples.push(...(await carryByVsock(mb, run)));
    run.note(`net-rings, round ${round} of ${run.rounds}`);
  }
  for (const link of links) {
    for (const mode of MODES.filter(({ name }) => PROFILED.includes(name))) {
      for (const mtu of mode.mtus ?? [SHORT, LONG]) {
        samples.push(...(await whereTimeGoes(mode, link, mtu, mb, run)));
      }
    }
  }
  return samples;
}

/** @param {"tap" | "user"} link @param {number} mtu @param {"rx" | "tx"} way */
const caseOf = (link, mtu, way) =>
  `${way === "rx" ? "to" : "from"} the guest, ${link === "tap" ? "Linux" : "user"}, MTU ${mtu}`;

/** The same bytes over vsock. @param {number} mb @param {Run} run @returns {Promise<Sample[]>} */
async function carryByVsock(mb, run) {
  const row = { case: "to the guest, vsock", subject: "mixed, its default" };
  try {
    const { rate, cpu } = await transfer("rx", { memoryMB: 256 }, "", 64, mb);
    const used = cpu === null ? [] : [{ ...row, metric: "CPU", unit: "us/MB", value: cpu }];
    return [{ ...row, metric: "time", unit: "s", value: MB / rate }, ...used];
  } catch (error) {
    run.fail(`net-rings, ${row.case}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/**
 * Segments of the MTU, as then: the user network would make long ones of them.
 * @param {Mode} mode
 * @param {"tap" | "user"} link
 * @param {number} mtu
 * @param {number} mb
 */
function move({ parameters, card, way = "rx", memoryMB }, link, mtu, mb, profiled = false) {
  const plain = { offloads: false, ...card };
  return moveOverNet(way, link, { parameters, card: plain, memoryMB, mtu, mb, profiled });
}

/**
 * Once, in a guest of its own: sampling costs.
 * @param {Mode} mode
 * @param {"tap" | "user"} link
 * @param {number} mtu
 * @param {number} mb
 * @param {Run} run
 * @returns {Promise<Sample[]>}
 */
async function whereTimeGoes(mode, link, mtu, mb, run) {
  const row = { case: `${caseOf(link, mtu, "rx")}: time of`, subject: mode.name, unit: "%" };
  try {
    const { shares } = await move(mode, link, mtu, mb, true);
    return shares.map(([metric, value]) => ({ ...row, metric, value }));
  } catch (error) {
    run.fail(`net-rings, profile of ${mode.name}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/**
 * @param {Mode} mode
 * @param {"tap" | "user"} link
 * @param {number} mtu
 * @param {number} mb
 * @param {Run} run
 * @returns {Promise<Sample[]>}
 */
async function carry(mode, link, mtu, mb, run) {
  const { name, way = "rx" } = mode;
  const row = { case: caseOf(link, mtu, way), subject: name };
  try {
    const { rate, cpu, counted } = await move(mode, link, mtu, mb);
    const counts = COUNTS[way].map((metric) => ({
      ...row,
      metric,
      unit: "/MB",
      value: (counted[metric] ?? 0) / mb,
    }));
    const filled = ((counted.bytesToGuest ?? 0) / (counted.roomToGuest ?? 1)) * 100;
    return [
      { ...row, metric: "time", unit: "s", value: MB / rate },
      { ...row, metric: "CPU", unit: "us/MB", value: cpu },
      ...(way === "rx" ? [{ ...row, metric: "filled", unit: "%", value: filled }] : []),
      ...counts,
    ];
  } catch (error) {
    run.fail(`net-rings, ${row.case}, ${name}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const rings = [128, 256, 1024, 2048, 32768];
  return [SHORT, LONG].map((mtu) => ({
    title: `A gigabyte to the guest by ring size, MTU ${mtu}`,
    x: "entries of the rx ring",
    y: "s",
    lines: /** @type {const} */ (["tap", "user"]).map((link) => ({
      name: link === "tap" ? "paged, Linux" : "paged, user",
      points: rings.flatMap((x) => {
        const row = rows.find(
          (one) =>
            one.case === caseOf(link, mtu, "rx") &&
            one.subject === `paged, ring ${x}` &&
            one.metric === "time",
        );
        return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
      }),
    })),
  }));
}
