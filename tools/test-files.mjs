// Where the tests of a project are: every *.test.ts below src/, or below what was named.
import { readdirSync, statSync } from "node:fs";
import { join, relative, resolve, sep } from "node:path";

const NOT_SOURCES = new Set(["node_modules", "build"]);

/**
 * Paths relative to the folder, in order. A name that is neither file nor folder has none.
 * @param {string} folder of the project
 * @param {readonly string[]} names of files and folders; none: src/
 * @returns {string[]}
 */
export function testFiles(folder, names) {
  const all = (names.length > 0 ? names : ["src"]).flatMap((name) => below(resolve(folder, name)));
  const files = new Set(all.map((path) => relative(folder, path).replaceAll(sep, "/")));
  return [...files].sort();
}

function below(path) {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isFile()) return [path];
  if (!found?.isDirectory()) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) return NOT_SOURCES.has(entry.name) ? [] : below(inside);
    return entry.name.endsWith(".test.ts") ? [inside] : [];
  });
}
