// The stops of the tour, of which docs/tour.json says where they are and docs/tour.md the rest:
// writes the tour of an editor, and the lines that the inspector's page shows: node tools/tour.mjs
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const read = (/** @type {string} */ name) => readFileSync(new URL(name, root), "utf8");

/**
 * `pattern` is part of exactly one line of `file`. `event`, as in "vsock: RW to guest", names the
 * events of a trace that happen there: their track, and their names.
 * @typedef {{ title: string, file: string, pattern: string, event?: string }} Stop
 */

/** @returns {readonly Stop[]} */
export const readStops = () => JSON.parse(read("docs/tour.json"));

/**
 * The number of the line that a stop is at. Throws an Error unless there is exactly one.
 * @param {Stop} stop
 */
export function lineOf({ title, file, pattern }) {
  const lines = read(file).split("\n");
  const found = lines.flatMap((line, i) => (line.includes(pattern) ? [i + 1] : []));
  if (found.length === 1) return /** @type {number} */ (found[0]);
  throw new Error(`tour, "${title}": ${found.length} lines of ${file} have ${pattern}`);
}

/** The page's text of each stop, without heading and quotation. */
function textsOf(/** @type {string} */ page) {
  const parts = page.split(/^### \d+\. .*\n/m).slice(1);
  return parts.map((part) => {
    const [, ...rest] = part
      .replace(/^## [\s\S]*/m, "")
      .trim()
      .split("\n\n");
    return rest.join("\n\n").replace(/\]\((?!https?:)[^)]*\)/g, "]");
  });
}

/** `.tours/torito.tour`, by https://aka.ms/codetour-schema: lines are found by patterns. */
export function codeTour() {
  const texts = textsOf(read("docs/tour.md"));
  const steps = readStops().map(({ title, file, pattern }, i) => ({
    title: `${i + 1}. ${title}`,
    file,
    pattern: pattern.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"),
    description: texts[i] ?? "",
  }));
  const head = { $schema: "https://aka.ms/codetour-schema", title: "One GET through torito" };
  return `${JSON.stringify({ ...head, steps }, null, 2)}\n`;
}

/** `web/inspector/places.ts`: the stops that have events, and their lines. */
export function places() {
  const rows = readStops().flatMap((stop, i) => {
    if (stop.event === undefined) return [];
    const { title, file, event } = stop;
    return [{ stop: i + 1, title, event, file, line: lineOf(stop) }];
  });
  const text = rows.map((row) => {
    const fields = Object.entries(row).map(
      ([key, value]) => `    ${key}: ${JSON.stringify(value)},\n`,
    );
    return `  {\n${fields.join("")}  },\n`;
  });
  return `// Made by tools/tour.mjs: the stops of the tour that have events.
export const PLACES = [\n${text.join("")}] as const;\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(new URL(".tours/", root), { recursive: true });
  writeFileSync(new URL(".tours/torito.tour", root), codeTour());
  writeFileSync(new URL("web/inspector/places.ts", root), places());
}
