// The stops of the tour, of which docs/tour.json says where they are and docs/tour.md the rest:
// writes the tour of an editor, and the lines that the inspector's page shows: node tools/tour.mjs.
// The Lab's is made with its other files (web.mjs).
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

/**
 * @typedef {{ path: string, method: string, headers: Record<string, string> }} Asked
 * @typedef {object} LabStop Texts have the marks of Markdown for code, bold and italics
 * @property {number} stop
 * @property {string} title
 * @property {string} chapter
 * @property {string} file
 * @property {number} line
 * @property {readonly string[]} text
 * @property {string} look
 * @property {string} attempt
 * @property {string} ask
 * @property {readonly Asked[]} requests that the attempt sends, at once
 * @property {string} parameters of the kernel, with which it boots another machine
 */

/** The stops as the Lab shows them: all that the page says of each. */
export function labStops() {
  const chapters = read("docs/tour.md")
    .split(/^## /m)
    .slice(2)
    .flatMap((part) => {
      const chapter = part.slice(0, part.indexOf("\n"));
      return (part.match(/^### /gm) ?? []).map(() => chapter);
    });
  const texts = textsOf(read("docs/tour.md"));
  return readStops().map((stop, i) => labStop(stop, i, chapters[i] ?? "", texts[i] ?? ""));
}

/**
 * @param {Stop} stop
 * @param {number} i
 * @param {string} chapter
 * @param {string} page
 * @returns {LabStop}
 */
function labStop(stop, i, chapter, page) {
  const [prose = "", ...marks] = page.split(/^- \*\*(?:Look|Try|Ask)\*\*: /m).map(oneLine);
  const [look = "", attempt = "", ask = ""] = marks;
  return {
    ...{ stop: i + 1, title: stop.title, chapter, file: stop.file, line: lineOf(stop) },
    text: prose.replace(/\[([^\]]+)\](\(https?:[^)]*\))?/g, "$1").split("\n\n"),
    ...{ look, attempt, ask },
    requests: requestsOf(attempt),
    parameters: / -- ([\w.=-]+)`/.exec(attempt)?.[1] ?? "",
  };
}

/** Without the breaks within a paragraph. */
const oneLine = (/** @type {string} */ text) => text.trim().replace(/([^\n])\n *(?=[^\n])/g, "$1 ");

/**
 * The requests of a curl command, as a page can send them.
 *
 * @param {string} text
 */
export function requestsOf(text) {
  const words = /`curl ([^`]*)`/.exec(text)?.[1]?.match(/'[^']*'|\S+/g) ?? [];
  const plain = words.map((word) => word.replace(/^'(.*)'$/, "$1"));
  const after = (/** @type {string} */ option) => plain[plain.indexOf(option) + 1] ?? "";
  const method = plain.includes("-X") ? after("-X") : plain.includes("-I") ? "HEAD" : "GET";
  if (!/^[A-Z]+$/.test(method)) return []; // no browser sends it
  /** @type {Record<string, string>} */
  const headers = {};
  if (plain.includes("-H")) {
    const [name = "", value = ""] = after("-H").split(": ");
    headers[name] = value;
  }
  const urls = plain.filter((word) => word.startsWith("http:")).flatMap(expanded);
  return urls.map((url) => ({ path: new URL(url).pathname, method, headers }));
}

/** As curl reads `[1-20]`. */
function expanded(/** @type {string} */ url) {
  const [range, first, last] = /\[(\d+)-(\d+)\]/.exec(url) ?? [];
  if (range === undefined) return [url];
  const count = Number(last) - Number(first) + 1;
  return Array.from({ length: count }, (_, i) => url.replace(range, `${Number(first) + i}`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(new URL(".tours/", root), { recursive: true });
  writeFileSync(new URL(".tours/torito.tour", root), codeTour());
  writeFileSync(new URL("web/inspector/places.ts", root), places());
}
