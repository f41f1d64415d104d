// Builds the guest images into build/: node tools/build.mjs [NAME ...], all of them by default. An
// image that is newer than everything it was made from is kept.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { isFresh } from "./fresh.mjs";
import { MIME_TABLE, mimeTable } from "./mime.mjs";
import { root } from "./names.mjs";

/** Each folder of apps/ with a main.ts is an image, and so is the kernel without an application. */
const images = { kernel: "torito/kernel/image" };
for (const name of readdirSync(`${root}apps`)) {
  if (existsSync(`${root}apps/${name}/main.ts`)) images[name] = `apps/${name}/main.ts`;
}
const ingredients = [
  `${root}package-lock.json`,
  ...readdirSync(`${root}tools`)
    .filter((name) => name.endsWith(".mjs"))
    .map((name) => `${root}tools/${name}`),
];

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(images);
mkdirSync(`${root}build`, { recursive: true });
writeFileSync(MIME_TABLE, mimeTable());
for (const name of names) {
  if (!(name in images)) {
    console.error(`build: no image "${name}"; there are ${Object.keys(images).join(", ")}`);
    process.exit(2);
  }
  const path = `${root}build/${name}.wasm`;
  if (isFresh(path, root, ingredients)) continue;
  const started = performance.now();
  const { compile } = await import("./compile.mjs");
  // The kernel's image exports its calls, for tests and tools.
  const { wasm, map, warnings } = await compile(
    images[name],
    "release",
    name === "kernel" ? { kind: "calls" } : {},
  );
  for (const { text } of warnings) console.error(text);
  writeFileSync(`${path}.map`, map);
  writeFileSync(path, wasm);
  console.error(
    `${name}.wasm  ${wasm.length} bytes  ${Math.round(performance.now() - started)} ms`,
  );
}
