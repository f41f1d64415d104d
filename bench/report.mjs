// From samples to rows, ratios and a table; the JSON that the runner writes is made of these.
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
    load: os.loadavg()[0], // of the minute before: a busy machine spoils requests/s, less CPU time
  };
}

/** @param {readonly number[]} values at least one */
export function medianOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return (sorted[middle - 1] + sorted[middle]) / 2;
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
    const key = JSON.stringify([sample.case, sample.subject, sample.metric]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [sample]);
    else group.push(sample);
  }
  return [...groups.values()].map((group) => {
    const values = group.map(({ value }) => value);
    const { case: name, subject, metric, unit } = group[0];
    const [min, max] = [Math.min(...values), Math.max(...values)];
    return {
      case: name,
      subject,
      metric,
      unit,
      median: medianOf(values),
      min,
      max,
      n: group.length,
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

/** @param {number} value */
function formatNumber(value) {
  if (value >= 100) return String(Math.round(value));
  return value.toPrecision(3);
}

/**
 * A line for each case and metric, a column for each subject: median (min to max).
 * @param {Result} result
 */
export function formatTable({ name, date, host, rows, ratios }) {
  const subjects = [...new Set(rows.map((row) => row.subject))];
  const lines = [...new Map(rows.map((row) => [`${row.case}/${row.metric}`, row])).values()];
  const cell = (/** @type {Row | undefined} */ row) => {
    if (row === undefined) return "-";
    const { median, min, max } = row;
    if (min === max) return formatNumber(median);
    return `${formatNumber(median)} (${formatNumber(min)} to ${formatNumber(max)})`;
  };
  const body = lines.map(({ case: name, metric, unit }) => [
    name,
    `${metric}, ${unit}`,
    ...subjects.map((subject) =>
      cell(rows.find((r) => r.case === name && r.metric === metric && r.subject === subject)),
    ),
  ]);
  const ours = Object.entries(ratios).map(([key, ratio]) => [key, ratio.toFixed(2)]);
  const title = `${name}, ${date}, ${host.cpu}, ${host.cores} cores, Node ${host.node}`;
  const tables = [alignColumns([["case", "metric", ...subjects], ...body])];
  if (ours.length > 0) tables.push(alignColumns([["ratio of medians", ""], ...ours]));
  return `${title}\n\n${tables.join("\n\n")}`;
}

/** @param {string[][]} table */
function alignColumns(table) {
  const widths = (table[0] ?? []).map((_, i) => Math.max(...table.map((line) => line[i].length)));
  return table
    .map((line) =>
      line
        .map((text, i) => text.padEnd(widths[i]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
