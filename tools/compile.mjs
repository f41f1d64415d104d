// Compiles one guest image in this process. An application lies anywhere; the kernel that it names
// is always the one of this package, because reading files is answered here.
import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import asc, { libraryFiles } from "assemblyscript/asc";
import { coverageTransform } from "./coverage.mjs";
import { CompileError, Diagnostics, errorWithoutPlace } from "./diagnostics.mjs";
import { ENTRY, entryText } from "./entry.mjs";
import { HoldersTransform } from "./holders.mjs";
import { leaves as hotLeaves } from "./leaves.mjs";
import { mimeTable } from "./mime.mjs";
import { ownFile, PACKAGE, root, shown } from "./names.mjs";
import { TextTransform } from "./text.mjs";
import { kernelTransform } from "./transform.mjs";

libraryFiles["mime-table"] = mimeTable();

export { CompileError, root };

export const FLAGS = [
  ...["--runtime", "stub", "--exportStart", "_initialize"],
  ...["--importMemory", "--initialMemory", "16", "--maximumMemory", "65536"],
  ...["--zeroFilledMemory", "--memoryBase", "65536"],
  ...["--debug", "--sourceMap"],
  ...["--use", `abort=${PACKAGE}kernel/panic/panic`],
  ...["--use", `seed=${PACKAGE}kernel/std/seed`, "--use", "trace=~lib/bindings/dom/trace"],
];

/** @type {Record<Target, string[]>} */
const TARGET_FLAGS = {
  release: ["--optimizeLevel", "3", "--shrinkLevel", "0"],
  debug: [],
  test: ["--exportTable"],
};

/**
 * release is optimised; the others have checks.
 * @typedef {"release" | "debug" | "test"} Target
 */

/**
 * @typedef {object} CompileOptions
 * @property {string} [folder] of the project, to which names of sources are relative
 * @property {boolean} [tests] the entry is a file of tests; with target test, by default
 * @property {boolean} [application] the entry exports main(): i32. By default, unless tests.
 * @property {boolean} [exports] the image exports what the entry does. By default, if tests.
 * @property {"all" | "project"} [coverage] of which sources statements are counted
 * @property {readonly string[]} [leaves] functions that must not yield
 * @property {readonly string[]} [flags] of asc
 * @property {boolean} [colors] in the texts of diagnostics
 * @property {Map<string, string>} [cache] texts by path; whoever knows of a change removes them
 */

/**
 * @param {string} entry source file, relative to the folder, or torito/... for one of the package
 * @param {Target} target
 * @param {CompileOptions} [options]
 * @returns {Promise<{ wasm: Uint8Array<ArrayBuffer>, map: string,
 *   points: import("./coverage.mjs").Point[], sources: string[],
 *   warnings: import("./diagnostics.mjs").Diagnostic[] }>} sources: the project's, also those that
 *   were looked for and are not there
 */
export async function compile(entry, target, options = {}) {
  const { folder = root, coverage, leaves = hotLeaves, flags = [] } = options;
  const { cache = new Map(), colors = false } = options;
  const { tests = target === "test" } = options;
  const { application = !tests, exports = tests } = options;
  if (folder !== root && existsSync(join(folder, "asconfig.json"))) {
    throw errorWithoutPlace(
      "torito does not read it, because it sets the compiler's options",
      "asconfig.json",
    );
  }
  /** @type {import("./coverage.mjs").Point[]} */
  const points = [];
  const transforms = [TextTransform, kernelTransform({ optimize: target === "release", leaves })];
  if (target !== "release") transforms.push(HoldersTransform);
  if (coverage) transforms.push(coverageTransform(points, coverage));
  const first = entryText({
    from: importName(entry, folder),
    application,
    exports,
    tests,
    coverage: coverage !== undefined,
  });
  const sources = new Set();
  const inputs = new Set();
  const readFile = (name) => {
    if (name === `${ENTRY}.ts`) return first;
    const own = ownFile(name);
    const path = own === null ? resolve(folder, name) : join(root, own);
    if (own === "" || name === "asconfig.json") return null;
    if (own === null) sources.add(path);
    const text = read(path, cache);
    if (text !== null) inputs.add(own === null ? relative(folder, path) : `torito/${own}`);
    return text;
  };
  /** @type {Map<string, string | Uint8Array>} */
  const files = new Map();
  const diagnostics = new Diagnostics(entry, colors);
  const { error } = await asc.main(
    [`${ENTRY}.ts`, "--baseDir", folder, "--outFile", "image.wasm"].concat(
      FLAGS,
      TARGET_FLAGS[target],
      flags,
    ),
    {
      readFile,
      writeFile: (name, contents) => void files.set(name, contents),
      listFiles: () => [],
      transforms,
      stderr: diagnostics.stderr,
      reportDiagnostic: diagnostics.report,
    },
  );
  const found = diagnostics.list;
  if (error instanceof CompileError) throw error;
  if (error) throw found.length > 0 ? new CompileError(found) : errorWithoutPlace(error.message);
  const wasm = new Uint8Array(files.get("image.wasm"));
  const map = mapText(String(files.get("image.wasm.map")), inputs);
  return { wasm, map, points, sources: [...sources], warnings: found };
}

/** How the virtual entry imports the author's file. */
function importName(entry, folder) {
  const name = entry.replaceAll("\\", "/").replace(/\.ts$/, "");
  return name.startsWith("torito/") ? name : `./${relative(folder, resolve(folder, name))}`;
}

function read(path, cache) {
  const known = cache.get(path);
  if (known !== undefined) return known;
  try {
    const text = readFileSync(path, "utf8");
    cache.set(path, text);
    return text;
  } catch {
    return null;
  }
}

/**
 * The map with sources named as people know them. It lists all that the image was made from, files
 * without code too, so that whoever has the image can tell whether it is older than they are.
 */
function mapText(text, inputs) {
  const map = JSON.parse(text);
  map.sources = map.sources.map(shown);
  for (const input of inputs) if (!map.sources.includes(input)) map.sources.push(input);
  return JSON.stringify(map);
}
