// The browser's part of the library, as a bundler takes it: no Node in it, and how large it is.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

/** Bytes, minified. The core of the host is nine tenths of the Worker. */
const SIZES_MAX = { "index.ts": 220_000, "worker.ts": 205_000, "service-worker.ts": 24_000 };
/** The same, as a server sends them. */
const GZIPPED_MAX = { "index.ts": 76_000, "worker.ts": 71_000, "service-worker.ts": 9_000 };

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

test.each(["index.ts", "worker.ts", "service-worker.ts"] as const)(
  "BR2 a bundle of host/browser/%s imports nothing, and keeps its size",
  async (name) => {
    const { text, imports, inputs } = await bundle(name);
    const gzipped = gzipSync(text).length;
    console.log(`${name}: ${text.length} bytes minified, ${gzipped} gzipped`);
    expect(imports).toEqual([]);
    expect(inputs.filter((path) => /^host\/(node|cli)|node_modules/.test(path))).toEqual([]);
    expect(text).not.toMatch(/\b(?:Buffer\.|process\.|setImmediate|require\()/);
    expect(text.length).toBeLessThan(SIZES_MAX[name]);
    expect(gzipped).toBeLessThan(GZIPPED_MAX[name]);
  },
);
