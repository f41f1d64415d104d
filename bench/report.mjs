// From samples to rows, ratios and a table; the JSON that the runner writes is made of these.
import { spawnSync } from "node:child_process";
import os from "node:os";

/**
 * One run of one case. @typedef {{ case: string, subject: string, metric: string, unit: string,
 *   value: number }} Sample
 */
/**
 * All runs of it. @typedef {{ case: string, subject: string, metric: string, unit: string,
 *   median: number, min: number, max: number, n: number }} Row
 */
/**
 * @typedef {{ name: string, date: string, host: ReturnType<typeof describeHost>, rows: Row[],
 *   ratios: Record<string, number> }} Result
 */

/** The one whose figures stand first in every ratio. */
const OURS = "torito";

export function describeHost() {
  const cpus = os.cpus();
  return {
    platform: os.platform(),
    release: os.release(),
    arch: os.arch(),
    cpu: cpus[0]?.model.trim() ?? "unknown",
    cores: cpus.length,
    memoryBytes: os.totalmem(),
    node: process.version,
    v8: process.versions.v8,
    nginx: nginxVersion(),
    load: os.loadavg()[0], // of the minute before: a busy machine spoils requests/s, less CPU time
  };
}

/** null: it is not installed. */
function nginxVersion() {
  const { stderr } = spawnSync("nginx", ["-v"], { encoding: "utf8" });
  return /nginx\/(\S+)/.exec(stderr ?? "")?.[1] ?? null;
}

/** @param {readonly number[]} values at least one */
function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  const lower = sorted[(sorted.length - 1) >> 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/**
 * One row for each case, subject and metric, in the order of their first samples.
 * @param {readonly Sample[]} samples
 * @returns {Row[]}
 */
export function summarise(samples) {
  /** @type {Map<string, Sample[]>} */
  const groups = new Map();
  for (const sample of samples) {
    const key = JSON.stringify([sample.case, sample.subject, sample.metric, sample.unit]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [sample]);
    else group.push(sample);
  }
  return [...groups].map(([key, group]) => {
    const [name, subject, metric, unit] = JSON.parse(key);
    const values = group.map(({ value }) => value);
    const [min, max] = [Math.min(...values), Math.max(...values)];
    return {
      case: name,
      subject,
      metric,
      unit,
      median: medianOf(values),
      min,
      max,
      n: values.length,
    };
  });
}

/**
 * Our median by the peer's, for every case that both have.
 * @param {readonly Row[]} rows
 * @param {string} metric
 */
export function ratiosOf(rows, metric) {
  /** @type {Record<string, number>} */
  const ratios = {};
  const compared = rows.filter((row) => row.metric === metric);
  for (const ours of compared.filter((row) => row.subject === OURS)) {
    for (const peer of compared) {
      if (peer.case !== ours.case || peer.subject === OURS) continue;
      ratios[`${OURS}/${peer.subject} ${ours.case}`] = ours.median / peer.median;
    }
  }
  return ratios;
}

/**
 * A line for each case and metric, a column for each subject: median (min to max); and our median
 * by each peer's.
 * @param {Result} result
 */
export function formatTable({ name, date, host, rows }) {
  const named = new Set(rows.map((row) => row.subject));
  const others = [...named].filter((subject) => subject !== OURS).sort();
  const subjects = named.has(OURS) ? [OURS, ...others] : others;
  const peers = named.has(OURS) ? others : [];
  const lines = new Map(rows.map((row) => [JSON.stringify([row.case, row.metric]), row]));
  const body = [...lines.values()].map((line) => {
    const find = (/** @type {string} */ subject) =>
      rows.find(
        (row) => row.case === line.case && row.metric === line.metric && row.subject === subject,
      );
    const ratio = (/** @type {string} */ peer) =>
      ((find(OURS)?.median ?? Number.NaN) / (find(peer)?.median ?? Number.NaN)).toFixed(2);
    return [
      line.case,
      `${line.metric}, ${line.unit}`,
      ...subjects.map((subject) => formatRow(find(subject))),
      ...peers.map((peer) => ratio(peer).replace("NaN", "-")),
    ];
  });
  const head = ["case", "metric", ...subjects, ...peers.map((peer) => `${OURS}/${peer}`)];
  const title = `${name}, ${date}, ${host.cpu}, ${host.cores} cores, Node ${host.node}`;
  return `${title}\n\n${alignColumns([head, ...body])}`;
}

/** @param {Row | undefined} row */
function formatRow(row) {
  if (row === undefined) return "-";
  const { median, min, max } = row;
  if (min === max) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)} to ${formatNumber(max)})`;
}

/** @param {number} value */
function formatNumber(value) {
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3);
}

/** @param {string[][]} table */
function alignColumns(table) {
  const width = (/** @type {number} */ i) => Math.max(...table.map((line) => line[i]?.length ?? 0));
  const widths = (table[0] ?? []).map((_, i) => width(i));
  const align = (/** @type {string[]} */ line) =>
    line.map((text, i) => text.padEnd(widths[i] ?? 0));
  return table.map((line) => align(line).join("  ").trimEnd()).join("\n");
}
