// Receiving without copies over TCP: the questions of "Zero-copy Receive for vhost" (Meth,
// Rapoport, Joel), in a guest on the `user` network, whose device reads the host's sockets into
// buffers that the guest has posted. Copies, fill ratio, drops and retransmissions are exact; rates
// are not.
import { cPrograms, transfer } from "../lib/machines.mjs";
import { moveOverNet } from "../lib/net.mjs";
import { receiveOverNet } from "../lib/net-receive.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */
/**
 * `slow`: the pause, in ms, before each read of the first connection, which gets a tenth.
 * @typedef {{ case: string, name: string, loans?: boolean, receive?: "staging" | "in-place",
 *   parameters?: string, mtu?: number, connections?: number, pairs?: number, slow?: number,
 *   pages?: number, memoryMB?: number, whenOut?: "stop" | "copy" | "drop" }} Mode
 */

const MB = 900;
const [SHORT, LONG] = [1500, 65520];
const PAGES = "net.rx_buffers=large net.rx_header=78";
const COPIES = "copies, one connection";
const SENDING = "sending";
const RECEIVE = /** @type {const} */ (["in-place", "staging"]);

/** @type {Mode[]} */
const MODES = [
  ...[LONG, SHORT].flatMap((mtu) =>
    RECEIVE.flatMap((receive) =>
      [true, false].map((loans) => ({
        case: `${COPIES}, MTU ${mtu}`,
        name: `${loans ? "loan" : "copy"}, ${receive}`,
        ...{ loans, receive, mtu, parameters: PAGES },
      })),
    ),
  ),
  ...[
    ["large", "net.rx_buffers=large"],
    ["large, inline", "net.rx_buffers=large net.rx_header=inline"],
    ["large, payload on pages", PAGES],
    ["pages, merged", "net.rx_buffers=mergeable"],
    ["pages, merged, payload on pages", "net.rx_buffers=mergeable net.rx_header=78"],
  ].map(([name = "", parameters]) => ({ case: "buffers", name, parameters })),
  ...[1, 4, 8].flatMap((connections) =>
    [1, 8].map((pairs) => ({
      case: `queues, ${connections} connections`,
      name: pairs === 1 ? "shared" : "dedicated",
      ...{ connections, pairs, parameters: PAGES },
    })),
  ),
  ...["stop", "copy", "drop"].map((whenOut) => ({
    case: "out of buffers, a slow reader beside a fast one",
    name: whenOut,
    whenOut: /** @type {"stop"} */ (whenOut),
    ...{ connections: 2, slow: 5, pages: 256, memoryMB: 16, parameters: PAGES },
  })),
  ...["on", "off"].map((pool) => ({
    case: "page pool",
    name: pool,
    parameters: `${PAGES} net.page_pool=${pool}`,
  })),
];

export const ratioMetrics = ["rate", "CPU"];
export const pairsOf = () => [
  ["loan, in-place", "copy, staging"],
  ["loan, in-place", "copy, in-place"],
  ["loan, staging", "copy, staging"],
  ["dedicated", "shared"],
  ["copy", "stop"],
  ["drop", "stop"],
  ["off", "on"],
  ...["two-copy", "one-copy", "zero-copy"].map((mode) => [`${mode}, TCP`, `${mode}, vsock`]),
];

/** @param {Run} run */
export async function measure(run) {
  /** @type {Sample[]} */
  const samples = [];
  if (cPrograms() === null) {
    run.note("net-zerocopy: nothing is measured: there is no cc to compile the peers with");
    return samples;
  }
  const mb = Math.max(1, Math.round(MB * run.scale));
  for (let round = 1; round <= run.rounds; round++) {
    for (const mode of MODES) samples.push(...(await receive(mode, mb, run)));
    for (const mode of ["two-copy", "one-copy", "zero-copy"]) {
      samples.push(...(await send(mode, mb, run)));
    }
    run.note(`net-zerocopy, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/**
 * @param {Run} run
 * @param {{ case: string, subject: string }} row
 * @param {() => Promise<[string, string, number][]>} body
 * @returns {Promise<Sample[]>}
 */
async function sample(run, row, body) {
  try {
    return (await body()).map(([metric, unit, value]) => ({ ...row, metric, unit, value }));
  } catch (error) {
    run.fail(`net-zerocopy, ${row.case}, ${row.subject}: ${/** @type {Error} */ (error).message}`);
    return [];
  }
}

/**
 * @param {import("../lib/net-receive.mjs").Counted} counted
 * @returns {[string, string, number][]}
 */
const losses = ({ retransmitted, dropped }) => [
  ["sent again", "segments", retransmitted],
  ["dropped", "segments", dropped],
];

/** @param {Mode} mode @param {number} mb @param {Run} run */
function receive({ name, ...mode }, mb, run) {
  return sample(run, { case: mode.case, subject: name }, async () => {
    const { rate, cpu, counted } = await receiveOverNet({ mtu: LONG, loans: true, mb, ...mode });
    return [
      ["rate", "MB/s", rate],
      ["CPU", "us/MB", cpu],
      ["copies on the host", "a byte", counted.host],
      ["copies in the guest", "a byte", counted.guest],
      ["filled", "%", counted.filled],
      ...(mode.whenOut === undefined ? [] : losses(counted)),
      ["pinned at most", "KiB", counted.pinned],
    ];
  });
}

/**
 * Sending beside it, over TCP and over vsock.
 * @param {string} mode
 * @param {number} mb
 * @param {Run} run
 */
async function send(mode, mb, run) {
  const tcp = await sample(run, { case: SENDING, subject: `${mode}, TCP` }, async () => {
    const parameters = `net.send=${mode}`;
    const { rate, cpu } = await moveOverNet("tx", "user", { parameters, mtu: LONG, mb });
    return [
      ["rate", "MB/s", rate],
      ["CPU", "us/MB", cpu],
    ];
  });
  const vsock = await sample(run, { case: SENDING, subject: `${mode}, vsock` }, async () => {
    const { rate, cpu } = await transfer("tx", {}, `vsock.send=${mode}`, 64, mb);
    return [
      ["rate", "MB/s", rate],
      ...(cpu === null ? [] : [/** @type {[string, string, number]} */ (["CPU", "us/MB", cpu])]),
    ];
  });
  return [...tcp, ...vsock];
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const names = ["loan, in-place", "copy, in-place", "loan, staging", "copy, staging"];
  return [
    { metric: "rate", y: "MB/s" },
    { metric: "CPU", y: "us of the guest's process per MB" },
  ].map(({ metric, y }) => ({
    title: `One connection to the guest: ${metric}`,
    x: "MTU",
    y,
    lines: names.map((name) => ({
      name,
      points: [SHORT, LONG].flatMap((x) => {
        const row = rows.find(
          (one) =>
            one.case === `${COPIES}, MTU ${x}` && one.subject === name && one.metric === metric,
        );
        return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
      }),
    })),
  }));
}
