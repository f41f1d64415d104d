// The benchmark runner: npm run bench -- [NAME ...] [options]. Measures dist/ and build/ as they
// are (npm builds them first). A benchmark never asserts: what cannot be measured is a line on
// stderr.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { enterNamespace } from "./lib/namespace.mjs";
import { drawSvg } from "./lib/plot.mjs";
import { cleanUp } from "./lib/programs.mjs";
import { describeHost, formatTable, ratiosOf, summarise } from "./lib/report.mjs";

/**
 * Given to a benchmark. `note` reports progress and missing peers; `fail` a sample that was
 * spoilt, which makes the exit code 1.
 * @typedef {{ rounds: number, scale: number, note: (line: string) => void,
 *   fail: (line: string) => void }} Run
 */

const NAMES = readdirSync(new URL("cases", import.meta.url))
  .filter((name) => name.endsWith(".mjs"))
  .map((name) => name.slice(0, -".mjs".length));
const OVER_TCP = [
  ...["tx-copies", "rx-zerocopy", "rings", "ping-pong", "bulk", "http", "slow-readers", "idle"],
  ...["operating", "trace", "net", "net-rings", "net-zerocopy"],
];
const USAGE = `npm run bench -- [NAME ...] [options]     default: all
  NAMES: ${NAMES.join(", ")}
  --rounds N    runs of each case that count, after one that does not (8)
  --scale X     length of the runs, 1 being the full one: 0.1 for a quick look (1)
  --json FILE   writes the result, of several measurements a list, and beside it a plot of each
`;
const ROUNDS_MAX = 1000;

/** @param {string} line */
const note = (line) => void process.stderr.write(`${line}\n`);

/** @param {string} reason @returns {never} */
function refuse(reason) {
  process.stderr.write(`bench: ${reason}\n${USAGE}`);
  process.exit(2);
}

function parseCommandLine() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: "string", default: "8" },
        scale: { type: "string", default: "1" },
        json: { type: "string" },
      },
    });
    const rounds = Number(values.rounds);
    const scale = Number(values.scale);
    const unknown = positionals.find((name) => !NAMES.includes(name));
    if (unknown !== undefined) refuse(`there is no measurement "${unknown}"`);
    if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX)) {
      refuse(`--rounds ${values.rounds}: not a number from 1 to ${ROUNDS_MAX}`);
    }
    if (!(scale > 0 && scale <= 100)) refuse(`--scale ${values.scale}: not from 0 to 100`);
    if (values.json !== undefined && !existsSync(dirname(values.json))) {
      refuse(`--json ${values.json}: there is no such folder`);
    }
    const names = positionals.length > 0 ? [...new Set(positionals)] : NAMES;
    return { names, rounds, scale, json: values.json };
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
}

/** @param {string} name @param {Run} run */
async function measureOne(name, run) {
  const benchmark = await import(`./cases/${name}.mjs`);
  const date = new Date().toISOString();
  const host = describeHost();
  const rows = summarise(await benchmark.measure(run));
  const pairs = benchmark.pairsOf(rows);
  const result = { name, date, host, rows, ratios: ratiosOf(rows, benchmark.ratioMetrics, pairs) };
  process.stdout.write(`\n${formatTable(result, pairs)}\n`);
  return { result, panels: rows.length === 0 ? [] : benchmark.panels(result) };
}

const { names, rounds, scale, json } = parseCommandLine();
if (names.some((name) => OVER_TCP.includes(name))) enterNamespace(note);
let failures = 0;
const run = {
  rounds,
  scale,
  note,
  fail: (/** @type {string} */ line) => {
    failures++;
    note(`FAILED: ${line}`);
  },
};
process.on("exit", cleanUp);
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

const measured = [];
for (const name of names) measured.push(await measureOne(name, run));
if (json !== undefined) {
  const results = measured.map(({ result }) => result);
  const content = results.length === 1 ? results[0] : results;
  writeFileSync(json, `${JSON.stringify(content, null, 2)}\n`);
  for (const { result, panels } of measured) {
    const plot = join(dirname(json), `${result.name}.svg`);
    if (panels.length > 0) writeFileSync(plot, drawSvg(panels));
  }
}
if (failures > 0) note(`${failures} samples failed and are not in the figures`);
process.exit(failures > 0 ? 1 : 0);
