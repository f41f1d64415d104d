// The command in few files: Node takes half a millisecond for each module that it loads, and there
// are two hundred. Its entry replaces that of tsc, which has run before: node tools/bundle.mjs.
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = new URL("..", import.meta.url);
const { dependencies, peerDependencies } = JSON.parse(
  readFileSync(new URL("package.json", root), "utf8"),
);

rmSync(new URL("dist/host/bundle/", root), { recursive: true, force: true });
await build({
  absWorkingDir: fileURLToPath(root),
  entryPoints: ["host/cli.ts"],
  outdir: "dist/host",
  entryNames: "[name]",
  chunkNames: "bundle/[name]-[hash]",
  bundle: true,
  splitting: true, // what a command does not need is not loaded
  format: "esm",
  platform: "node",
  target: "node20.19",
  external: Object.keys({ ...dependencies, ...peerDependencies }),
  logLevel: "warning",
});
