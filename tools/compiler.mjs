// The AssemblyScript compiler, an optional peer of this package. It is looked for from the project
// first, so that it is found wherever the package itself is installed, and then from the package.
// The version must be exact: the build replaces parts of the compiler's library.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./names.mjs";

/** asc's programmatic interface; undefined before loadCompiler(). */
export let asc;
/** The syntax tree's module; undefined before loadCompiler(). */
export let as;

/** There is no compiler of the right version; the message says which command installs it. */
export class CompilerMissing extends Error {
  name = "CompilerMissing";
}

const { peerDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** The only version that these tools work with. */
export const VERSION = peerDependencies.assemblyscript;

/** Loads it, once for the process. `folder` is the project's. */
export async function loadCompiler(folder) {
  if (asc !== undefined) return;
  const found = find(folder);
  const load = (file) => import(pathToFileURL(found(`assemblyscript/dist/${file}.js`)).href);
  as = await load("assemblyscript");
  asc = await load("asc");
}

function find(folder) {
  const others = [];
  for (const from of [folder, root]) {
    const { resolve } = createRequire(join(from, "package.json"));
    try {
      const manifest = readFileSync(resolve("assemblyscript/package.json"), "utf8");
      const { version } = JSON.parse(manifest);
      if (version === VERSION) return resolve;
      others.push(version);
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  const what = others.length > 0 ? `version ${others[0]} does not fit` : "it is not installed";
  const command = `npm install --save-dev --save-exact assemblyscript@${VERSION}`;
  throw new CompilerMissing(`building needs the compiler, and ${what}: ${command}`);
}
