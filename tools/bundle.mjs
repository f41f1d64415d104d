// The command in one file, and each of its workers: Node takes half a millisecond and a file
// descriptor for each module that it loads, and there are two hundred. Modules that are imported
// when they are needed still run no earlier. They replace what tsc emitted, which has run before:
// node tools/bundle.mjs. Code of the command finds a worker from PACKAGE_FOLDER, not beside itself.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = new URL("..", import.meta.url);
const { dependencies, peerDependencies } = JSON.parse(
  readFileSync(new URL("package.json", root), "utf8"),
);

const workers = readdirSync(new URL("host/", root), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith("-worker.ts") && !name.startsWith("browser"))
  .map((name) => `host/${name}`);

/**
 * Some commands alone use these modules of Node, which take milliseconds and megabytes: they are
 * loaded with the module that imports them, not with the file.
 * @type {import("esbuild").Plugin}
 */
const lateBuiltins = {
  name: "late built-ins",
  setup({ onResolve, onLoad }) {
    const filter = /^node:(child_process|http|zlib)$/;
    onResolve({ filter }, ({ path }) => ({ path, namespace: "late" }));
    onLoad({ filter, namespace: "late" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

await build({
  absWorkingDir: fileURLToPath(root),
  entryPoints: ["host/cli.ts", ...workers],
  outbase: "host",
  outdir: "dist/host",
  bundle: true,
  plugins: [lateBuiltins],
  format: "esm",
  platform: "node",
  target: "node20.19",
  external: Object.keys({ ...dependencies, ...peerDependencies }),
  logLevel: "warning",
});
