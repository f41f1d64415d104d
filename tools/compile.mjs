// Compiles one guest image in this process; options per target stand in asconfig.json.
import { fileURLToPath } from "node:url";
import asc, { libraryFiles } from "assemblyscript/asc";
import { coverageTransform } from "./coverage.mjs";
import { HoldersTransform } from "./holders.mjs";
import { leaves as hotLeaves } from "./leaves.mjs";
import { mimeTable } from "./mime.mjs";
import { kernelTransform } from "./transform.mjs";

libraryFiles["mime-table"] = mimeTable();

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * @param {string} entry source file, relative to the project
 * @param {"release" | "debug" | "test"} target of asconfig.json
 * @param {{ coverage?: boolean, leaves?: readonly string[], flags?: string[] }} [options]
 * @returns {Promise<{ wasm: Uint8Array<ArrayBuffer>, map: string,
 *   points: import("./coverage.mjs").Point[], sources: string[] }>}
 */
export async function compile(entry, target, options = {}) {
  const { coverage = false, leaves = hotLeaves, flags = [] } = options;
  /** @type {import("./coverage.mjs").Point[]} */
  const points = [];
  /** @type {Map<string, string | Uint8Array>} */
  const files = new Map();
  const transforms = [kernelTransform({ optimize: target === "release", leaves })];
  if (target !== "release") transforms.push(HoldersTransform);
  if (coverage) transforms.push(coverageTransform(points));
  const entries = coverage ? [entry, "test/guest/coverage.ts"] : [entry];
  const { error, stderr } = await asc.main(
    [...entries, "--baseDir", root, "--target", target, "--outFile", "image.wasm", ...flags],
    { transforms, writeFile: (name, contents) => void files.set(name, contents) },
  );
  const messages = stderr.toString();
  if (error) throw new Error(`${entry}: ${messages || error.message}`);
  if (messages) console.error(messages);
  const wasm = files.get("image.wasm");
  const map = String(files.get("image.wasm.map"));
  return { wasm: new Uint8Array(wasm), map, points, sources: JSON.parse(map).sources };
}
