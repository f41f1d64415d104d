// The browser's part of the library, as a bundler takes it: no Node in it, and how large it is.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { bundleWorker } from "../../../tools/worker-bundle.mjs";

const KB = 1000;
/** BR2, in bytes, minified: what a page imports, and what its Worker loads at first. */
const LIBRARY_MAX = 120 * KB;
const MACHINE_GZIPPED_MAX = 42 * KB;
/** A page's own part stays far below. */
const SIZES_MAX = { "index.ts": 24 * KB, "service-worker.ts": 24 * KB };
const NODE = /\b(?:Buffer\.|process\.|setImmediate|require\()/;

const sizes = (name: string, text: string) => {
  const gzipped = gzipSync(text).length;
  console.log(`${name}: ${text.length} bytes minified, ${gzipped} gzipped`);
  return { minified: text.length, gzipped };
};

async function bundle(name: string) {
  const { metafile, outputFiles } = await build({
    entryPoints: [`host/browser/${name}`],
    bundle: true,
    minify: true,
    platform: "browser",
    format: name === "service-worker.ts" ? "iife" : "esm",
    target: "es2022",
    metafile: true,
    write: false,
  });
  const imports = Object.values(metafile.outputs).flatMap((one) => one.imports);
  return { text: outputFiles[0]?.text ?? "", imports, inputs: Object.keys(metafile.inputs) };
}

test("BR1 npm run check compiles the core and the browser's part without Node's types", () => {
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
  expect(scripts.check).toContain("tsc -p tsconfig.core.json");
  const { compilerOptions, exclude } = JSON.parse(readFileSync("tsconfig.core.json", "utf8"));
  expect(compilerOptions.types).toEqual([]);
  expect(compilerOptions.lib).toContain("webworker");
  expect(exclude.sort()).toEqual(["host/cli", "host/cli.ts", "host/index.ts", "host/node"]);
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.core.json"]);
});

test.each(["index.ts", "service-worker.ts"] as const)(
  "BR2 a bundle of host/browser/%s imports nothing, and is below 120 kB",
  async (name) => {
    const { text, imports, inputs } = await bundle(name);
    const { minified } = sizes(name, text);
    expect(imports).toEqual([]);
    expect(inputs.filter((path) => /^host\/(node|cli)|node_modules/.test(path))).toEqual([]);
    expect(text).not.toMatch(NODE);
    expect(minified).toBeLessThan(LIBRARY_MAX);
    expect(minified).toBeLessThan(SIZES_MAX[name]);
  },
);

test("BR2 the Worker imports its own parts alone, and at first less than 120 kB", async () => {
  const files = await bundleWorker();
  const fileOf = (name: string) => files.find(({ fileName }) => fileName === name);
  const names = files.map(({ fileName }) => fileName);
  expect(files.flatMap(({ imports }) => imports.filter((one) => !names.includes(one)))).toEqual([]);
  expect(fileOf("worker.js")?.imports).toEqual(["parts/machine.js"]);
  const machine = fileOf("parts/machine.js");
  expect(machine?.imports).toEqual([]);
  for (const { fileName, code } of files) {
    sizes(fileName, code);
    expect(code, fileName).not.toMatch(NODE);
  }
  const { minified, gzipped } = sizes("at first", `${fileOf("worker.js")?.code}${machine?.code}`);
  expect(minified).toBeLessThan(LIBRARY_MAX);
  expect(gzipped).toBeLessThan(MACHINE_GZIPPED_MAX);
});
