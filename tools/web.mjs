// Bundles what runs in browsers: node tools/web.mjs [--site FOLDER]. The Worker and the Service
// Worker go to dist/browser, and the Lab with all that it loads to the sample site. With --site the
// whole sample site is written to FOLDER, for any host of static files.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { build } from "esbuild";
import { root } from "./names.mjs";
import { readFolder, writeTar } from "./tar.mjs";
import { labStops } from "./tour.mjs";
import { bundleWorker } from "./worker-bundle.mjs";

const SITE = `${root}apps/web-server/site`;
const LAB = `${SITE}/lab/machine`;
const BROWSER = `${root}dist/browser`;

/**
 * One minified file, which imports nothing.
 *
 * @param {string} entry
 * @param {string} outfile
 * @param {"esm" | "iife"} [format]
 */
function bundle(entry, outfile, format = "esm") {
  return build({
    entryPoints: [root + entry],
    outfile,
    format,
    bundle: true,
    minify: true,
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
  });
}

/** The site that the machine of the Lab serves: the sample site, which has no Lab of its own. */
function sampleSite() {
  const files = readFolder(SITE, (path) => path === "lab" || path.startsWith("_"));
  return writeTar({ ...files, "lab/index.html": readFileSync(`${root}web/lab/inside.html`) });
}

async function writeWorker() {
  for (const { fileName, code } of await bundleWorker()) {
    const path = `${BROWSER}/${fileName}`;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, code);
  }
}

rmSync(BROWSER, { recursive: true, force: true });
mkdirSync(BROWSER, { recursive: true });
rmSync(LAB, { recursive: true, force: true });
mkdirSync(LAB, { recursive: true });
await Promise.all([
  writeWorker(),
  // Browsers know modules as Service Workers only of late.
  bundle("host/browser/service-worker.ts", `${BROWSER}/service-worker.js`, "iife"),
  bundle("web/lab/lab.ts", `${LAB}/lab.js`),
  bundle("web/lab/bridge.ts", `${LAB}/bridge.js`),
]);
cpSync(BROWSER, LAB, { recursive: true });
for (const name of ["web-server.wasm", "web-server.wasm.map"]) {
  cpSync(`${root}build/${name}`, `${LAB}/${name}`);
}
cpSync(`${root}web/inspector/style.css`, `${LAB}/inspector.css`);
writeFileSync(`${LAB}/site.tar`, sampleSite());
writeFileSync(`${LAB}/tour.json`, JSON.stringify(labStops()));

const [option, folder] = process.argv.slice(2);
if (option === "--site" && folder !== undefined) {
  cpSync(SITE, resolve(folder), { recursive: true });
  console.error(`the sample site is in ${folder}`);
} else if (option !== undefined) {
  console.error("usage: node tools/web.mjs [--site FOLDER]");
  process.exitCode = 2;
}
