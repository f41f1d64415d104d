// Builds the guest images into build/: node tools/build.mjs [NAME ...], all of them by default. An
// image that is newer than everything it was made from is kept.
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { root } from "./compile.mjs";

const images = {
  "web-server": "apps/web-server/main.ts",
  "hello-world": "apps/hello-world/main.ts",
  "hello-file": "apps/hello-file/main.ts",
  echo: "apps/echo/main.ts",
  "hash-table-server": "apps/hash-table-server/main.ts",
  "ping-pong": "apps/ping-pong/main.ts",
  "rx-zerocopy": "apps/rx-zerocopy/main.ts",
  kernel: "kernel/image.ts",
};
const ingredients = [
  "asconfig.json",
  "package-lock.json",
  "tools/mime.mjs",
  "tools/transform.mjs",
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
