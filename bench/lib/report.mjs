// From samples to rows, ratios and a table; the JSON that the runner writes is made of these.
import { spawnSync } from "node:child_process";
import os from "node:os";
import { congestionControl } from "./namespace.mjs";

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
    congestionControl: congestionControl(),
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
 * The median of one subject by that of another, for every case and metric that both have. With one
 * metric it goes without saying.
 * @param {readonly Row[]} rows
 * @param {readonly string[]} metrics
 * @param {readonly (readonly [string, string])[]} pairs of subjects
 */
export function ratiosOf(rows, metrics, pairs) {
  /** @type {Record<string, number>} */
  const ratios = {};
  for (const metric of metrics) {
    for (const [above, below] of pairs) {
      for (const ours of rows.filter((row) => row.metric === metric && row.subject === above)) {
        const peer = rows.find(
          (row) => row.metric === metric && row.subject === below && row.case === ours.case,
        );
        if (peer === undefined) continue;
        const what = metrics.length > 1 ? `, ${metric}` : "";
        ratios[`${above}/${below} ${ours.case}${what}`] = ours.median / peer.median;
      }
    }
  }
  return ratios;
}

/** @param {number} bytes a power of two */
export function sizeName(bytes) {
  if (bytes >= 1048576) return `${bytes / 1048576} MiB`;
  return bytes >= 1024 ? `${bytes / 1024} KiB` : `${bytes} B`;
}

/** With more subjects than this a line of the table has one of them. */
const COLUMNS_MAX = 6;

/**
 * A line for each case and metric, with a column for each subject, median (min to max), and one for
 * each pair: their ratio.
 * @param {Result} result
 * @param {readonly (readonly [string, string])[]} pairs
 */
export function formatTable({ name, date, host, rows }, pairs) {
  const subjects = [...new Set(rows.map((row) => row.subject))];
  const machine = `${host.cpu}, ${host.cores} cores, Node ${host.node}`;
  const title = `${name}, ${date}, ${machine}, TCP: ${host.congestionControl}`;
  const table =
    subjects.length > COLUMNS_MAX ? longTable(rows, pairs) : wide(rows, subjects, pairs);
  return `${title}\n\n${alignColumns(table)}`;
}

/**
 * @param {readonly Row[]} rows
 * @param {readonly string[]} subjects
 * @param {readonly (readonly [string, string])[]} pairs
 */
function wide(rows, subjects, pairs) {
  const lines = new Map(rows.map((row) => [JSON.stringify([row.case, row.metric]), row]));
  const body = [...lines.values()].map((line) => {
    const find = (/** @type {string} */ subject) =>
      rows.find(
        (row) => row.case === line.case && row.metric === line.metric && row.subject === subject,
      );
    return [
      line.case,
      `${line.metric}, ${line.unit}`,
      ...subjects.map((subject) => formatRow(find(subject))),
      ...pairs.map(([above, below]) => formatRatio(find(above), find(below))),
    ];
  });
  return [["case", "metric", ...subjects, ...pairs.map((pair) => pair.join("/"))], ...body];
}

/**
 * @param {readonly Row[]} rows
 * @param {readonly (readonly [string, string])[]} pairs
 */
function longTable(rows, pairs) {
  const body = rows.map((row) => {
    const below = pairs.find(([above]) => above === row.subject)?.[1];
    const peer = rows.find(
      (one) => one.subject === below && one.case === row.case && one.metric === row.metric,
    );
    const ratio = formatRatio(row, peer);
    const named = ratio === "-" ? ratio : `${ratio} of ${below}`;
    return [row.case, row.subject, `${row.metric}, ${row.unit}`, formatRow(row), named];
  });
  return [["case", "subject", "metric", "median", "ratio"], ...body];
}

/** @param {Row | undefined} above @param {Row | undefined} below */
function formatRatio(above, below) {
  if (above === undefined || below === undefined || below.median === 0) return "-";
  return (above.median / below.median).toFixed(2);
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
