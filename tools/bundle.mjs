// The command in few files: Node takes half a millisecond for each module that it loads, and there
// are two hundred. Its entry and those of its workers replace what tsc emitted, which has run
// before: node tools/bundle.mjs. Code of the command finds a worker from PACKAGE_FOLDER, for it may
// be in any chunk.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = new URL("..", import.meta.url);
const { dependencies, peerDependencies } = JSON.parse(
  readFileSync(new URL("package.json", root), "utf8"),
);

const workers = readdirSync(new URL("host/", root), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith("-worker.ts"))
  .map((name) => `host/${name}`);

rmSync(new URL("dist/host/bundle/", root), { recursive: true, force: true });
await build({
  absWorkingDir: fileURLToPath(root),
  entryPoints: ["host/cli.ts", ...workers],
  outbase: "host",
  outdir: "dist/host",
  chunkNames: "bundle/[name]-[hash]",
  bundle: true,
  splitting: true, // what a command does not need is not loaded
  format: "esm",
  platform: "node",
  target: "node20.19",
  external: Object.keys({ ...dependencies, ...peerDependencies }),
  logLevel: "warning",
});
