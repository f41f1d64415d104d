// Compiles one guest image in this process. An application lies anywhere; the kernel that it names
// is always the one of this package, because reading files is answered here.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";
import { asc, loadCompiler } from "./compiler.mjs";
import { coverageTransform } from "./coverage.mjs";
import { CompileError, Diagnostics, errorWithoutPlace } from "./diagnostics.mjs";
import { ENTRY, entryText, WANTED } from "./entry.mjs";
import { MADE_BY } from "./fresh.mjs";
import { HoldersTransform } from "./holders.mjs";
import { foreignImports } from "./imports.mjs";
import { leaves as hotLeaves } from "./leaves.mjs";
import { mimeTableText } from "./mime.mjs";
import { ownFile, PACKAGE, root, shown } from "./names.mjs";
import { Sources, stampOf } from "./sources.mjs";
import { TextTransform } from "./text.mjs";
import { kernelTransform } from "./transform.mjs";

export { CompileError, root };

/** Parts of asc's library that are replaced, and one that is added. */
const libraryFiles = () => ({
  "rt/stub": readFileSync(join(root, "kernel/rt/stub.ts"), "utf8"),
  "bindings/dom": readFileSync(join(root, "kernel/rt/dom.ts"), "utf8"),
  "mime-table": mimeTableText(),
});
/** Read by the first build. */
let library;

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
 * @property {import("./entry.mjs").Kind} [kind] tests with target test, otherwise application
 * @property {"all" | "project"} [coverage] of which sources statements are counted
 * @property {boolean} [ban] look for allocations in drivers, for a fifth of the time
 * @property {readonly string[]} [leaves] functions that must not yield
 * @property {readonly string[]} [flags] of asc
 * @property {boolean} [colors] in the texts of diagnostics
 * @property {Sources} [cache] texts of an earlier build
 */

/**
 * @param {string} entry source file, relative to the folder, or torito/... for one of the package
 * @param {Target} target
 * @param {CompileOptions} [options]
 * @returns {Promise<{ wasm: Uint8Array<ArrayBuffer>, map: string,
 *   points: import("./coverage.mjs").Point[], sources: Map<string, string>,
 *   warnings: import("./diagnostics.mjs").Diagnostic[] }>} sources: stamps of the project's files
 *   by path, also of those that were looked for and are not there
 * @throws {CompileError} with `sources` too
 */
export async function compile(entry, target, options = {}) {
  const { coverage, leaves = hotLeaves, flags = [], ban = true } = options;
  const { cache = new Sources(), colors = false } = options;
  // Packages are looked for around the real folder, as Node does.
  const folder = realPath(options.folder ?? root);
  const isOwn = folder === realPath(root); // the package itself: a clone
  const { kind = target === "test" ? "tests" : "application" } = options;
  if (existsSync(join(folder, "asconfig.json"))) {
    const reason = "torito does not read it, because it sets the compiler's options";
    throw Object.assign(errorWithoutPlace(reason, "asconfig.json"), {
      sources: new Map([[join(folder, "asconfig.json"), stampOf(join(folder, "asconfig.json"))]]),
    });
  }
  await loadCompiler(folder);
  library ??= libraryFiles();
  Object.assign(asc.libraryFiles, library);
  /** @type {import("./coverage.mjs").Point[]} */
  const points = [];
  const optimize = target === "release";
  const transforms = [TextTransform, kernelTransform({ optimize, ban, leaves })];
  if (target !== "release") transforms.push(HoldersTransform);
  if (coverage) transforms.push(coverageTransform(points, coverage));
  const author = entry.startsWith("torito/") ? "" : (cache.read(resolve(folder, entry)).text ?? "");
  const first = entryText(kind, importName(entry, folder), author, coverage !== undefined);
  /** @type {Map<string, string>} */
  const sources = new Map();
  const inputs = new Set();
  const readFile = (name) => {
    if (name === `${ENTRY}.ts`) return first;
    const own = ownFile(name);
    if (own === "" || name === "asconfig.json") return null;
    const path = own === null ? resolve(folder, name) : join(root, own);
    const { text, stamp } = cache.read(path);
    if (own === null || isOwn) sources.set(path, stamp);
    if (text !== null) inputs.add(own === null ? within(folder, path) : `torito/${own}`);
    return text;
  };
  /** @type {Map<string, string | Uint8Array>} */
  const files = new Map();
  const diagnostics = new Diagnostics(entry, WANTED[kind], colors);
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
  const wasm = error ? new Uint8Array() : new Uint8Array(files.get("image.wasm"));
  const failure = error ? failureOf(error, found) : refusal(wasm);
  if (failure !== null) throw Object.assign(failure, { sources });
  const map = mapText(String(files.get("image.wasm.map")), inputs);
  return { wasm, map, points, sources, warnings: found };
}

/** Errors of the build's own passes, those in the sources, or what asc itself stumbled over. */
function failureOf(error, found) {
  if (error instanceof CompileError) return error;
  return found.length > 0 ? new CompileError(found) : errorWithoutPlace(error.message);
}

/** A10: an image with other imports would be refused by every machine. */
function refusal(wasm) {
  const names = foreignImports(wasm);
  if (names.length === 0) return null;
  return errorWithoutPlace(`no machine has what the image imports: ${names.join(", ")}`);
}

const realPath = (folder) => (existsSync(folder) ? realpathSync(folder) : resolve(folder));

/** How the virtual entry imports the author's file. */
function importName(entry, folder) {
  const name = entry.replaceAll("\\", "/").replace(/\.ts$/, "");
  return name.startsWith("torito/") ? name : `./${within(folder, resolve(folder, name))}`;
}

const within = (folder, path) => relative(folder, path).replaceAll(sep, "/");

/**
 * The map with sources named as people know them. It lists all that the image was made from, files
 * without code too, so that whoever has the image can tell whether it is older than they are.
 */
function mapText(text, inputs) {
  const map = { ...JSON.parse(text), ...MADE_BY };
  // The texts of a project's files go along; those of the package are installed with it.
  map.sourcesContent = map.sourcesContent.map((text, i) =>
    map.sources[i].startsWith("~lib/") ? null : text,
  );
  map.sources = map.sources.map(shown);
  for (const input of inputs) if (!map.sources.includes(input)) map.sources.push(input);
  return JSON.stringify(map);
}
