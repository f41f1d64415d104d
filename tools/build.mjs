// Builds the guest images into build/: node tools/build.mjs [NAME ...], all of them by default. An
// image that is newer than everything it was made from is kept.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { root } from "./compile.mjs";

/** Each folder of apps/ with a main.ts is an image, and so is the kernel without an application. */
const images = { kernel: "kernel/image.ts" };
for (const name of readdirSync(`${root}apps`)) {
  if (existsSync(`${root}apps/${name}/main.ts`)) images[name] = `apps/${name}/main.ts`;
}
const ingredients = [
  "asconfig.json",
  "package-lock.json",
  "tools/leaves.mjs",
  "tools/mime.mjs",
  "tools/transform.mjs",
  "tools/globals.mjs",
  "tools/build.mjs",
];

/** Sources are read from the image's own map: they are what the last build really used. */
function isFresh(path) {
  if (!existsSync(path) || !existsSync(`${path}.map`)) return false;
  const built = statSync(path).mtimeMs;
  const { sources } = JSON.parse(readFileSync(`${path}.map`, "utf8"));
  return [...ingredients, ...sources.filter((source) => !source.startsWith("~lib/"))].every(
    (source) => existsSync(root + source) && statSync(root + source).mtimeMs <= built,
  );
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(images);
mkdirSync(`${root}build`, { recursive: true });
for (const name of names) {
  if (!(name in images)) {
    console.error(`build: no image "${name}"; there are ${Object.keys(images).join(", ")}`);
    process.exit(2);
  }
  const path = `${root}build/${name}.wasm`;
  if (isFresh(path)) continue;
  const started = performance.now();
  const { compile } = await import("./compile.mjs");
  const { wasm, map } = await compile(images[name], "release");
  writeFileSync(`${path}.map`, map);
  writeFileSync(path, wasm);
  console.error(
    `${name}.wasm  ${wasm.length} bytes  ${Math.round(performance.now() - started)} ms`,
  );
}
