// A compiler that stays warm, on a thread of its own: it builds, watches what it has read, and
// builds again. The thread that serves is never held up.
import { setTimeout } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { compile } from "./compile.mjs";
import { CompilerMissing } from "./compiler.mjs";
import { CompileError } from "./diagnostics.mjs";
import { Sources, stampOf } from "./sources.mjs";
import { testFiles } from "./test-files.mjs";

const POLL_MS = 100;
/** An editor may write a file in several steps; a build waits until none comes for this long. */
const SETTLE_MS = 20;

/**
 * @typedef {object} WatchOptions
 * @property {string} folder of the project
 * @property {string | null} entry of the application; null: the project's tests
 * @property {readonly string[]} tests names of files or folders of tests
 * @property {boolean} coverage
 * @property {boolean} colors
 * @property {readonly string[]} settings files that are not sources
 */

/** @type {WatchOptions} */
const { folder, tests, coverage, colors } = workerData;
let { entry, settings } = workerData;
let isFirst = true;
const cache = new Sources();
/** Stamps of the files that each build has looked for, by entry. */
const builds = new Map();
let settingsStamps = stampsOf(settings);

parentPort.on("message", (watched) => {
  ({ entry, settings } = watched);
  // Of files that were watched before, a change in between still counts.
  settingsStamps = new Map([...stampsOf(settings), ...kept(settingsStamps, settings)]);
});

const kept = (stamps, paths) => [...stamps].filter(([path]) => paths.includes(path));

function stampsOf(paths) {
  return new Map(paths.map((path) => [path, stampOf(path)]));
}

const isStale = (stamps) => [...stamps].some(([path, stamp]) => stampOf(path) !== stamp);

async function build(name) {
  const started = performance.now();
  const took = () => Math.round(performance.now() - started);
  const target = entry === null ? "test" : "debug";
  const covered = coverage ? { coverage: "project" } : {};
  try {
    // Of an application the ban waits for `torito test` and `torito build`: it takes a while.
    const ban = entry === null;
    const made = await compile(name, target, { folder, colors, cache, ban, ...covered });
    const { wasm, map, points, warnings, sources } = made;
    const report = { kind: "built", entry: name, wasm, map, points, warnings, ms: took() };
    parentPort.postMessage(report, [wasm.buffer]);
    return sources;
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    const { diagnostics, sources } = error;
    parentPort.postMessage({ kind: "failed", entry: name, diagnostics, ms: took() });
    return sources;
  }
}

const wanted = () => (entry === null ? testFiles(folder, tests) : [entry]);

/** Entries that are new or have changed, and those that are no more. */
function changes() {
  const entries = wanted();
  const stale = entries.filter((name) => !builds.has(name) || isStale(builds.get(name)));
  const gone = [...builds.keys()].filter((name) => !entries.includes(name));
  return { entries, stale, gone, any: stale.length + gone.length > 0 };
}

/** Builds what has changed. */
async function round() {
  const { entries, stale, gone, any } = changes();
  for (const name of gone) builds.delete(name);
  for (const name of stale) {
    parentPort.postMessage({ kind: "building", entry: name });
    builds.set(name, await build(name));
  }
  if (any || isFirst) parentPort.postMessage({ kind: "done", entries });
  isFirst = false;
}

/** Waits for a change, and for the end of it. */
async function change() {
  while (!changes().any && !isStale(settingsStamps)) await setTimeout(POLL_MS);
  for (let before = ""; ; ) {
    const paths = [...builds.values()].flatMap((stamps) => [...stamps.keys()]);
    const now = [...paths, ...settings].map(stampOf).join();
    if (now === before) break;
    before = now;
    await setTimeout(SETTLE_MS);
  }
  if (isStale(settingsStamps)) {
    settingsStamps = stampsOf(settings);
    parentPort.postMessage({ kind: "settings" });
  }
}

try {
  for (;;) {
    await round();
    await change();
  }
} catch (error) {
  const missing = error instanceof CompilerMissing;
  parentPort.postMessage({
    kind: "fault",
    message: missing ? error.message : error.stack,
    missing,
  });
}
