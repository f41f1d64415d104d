// A machine embedded in a program, from the packed package: by import and by require, in a worker
// thread, in bundles that stand alone, and in other engines than Node.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { install } from "../support/installed.ts";
import { witness } from "../support/outside-program.ts";

afterAll(removeFolders);

/** Serves a file of memory, fetches it, and returns what it got. */
const SERVE = `
async function serve({ FsDevice, Machine, MemoryFiles, VsockDevice }, image) {
  const vsock = new VsockDevice();
  const files = new MemoryFiles({ "index.html": "from memory" });
  const site = new FsDevice({ directory: "/", tag: "site", files });
  const machine = await Machine.create({ image, parameters: "root=site", devices: [vsock, site] });
  try {
    machine.boot();
    await vsock.probe(80);
    const response = await machine.fetch("http://guest/");
    const { readable, writable } = await vsock.connect(80);
    const writer = writable.getWriter();
    await writer.write(new TextEncoder().encode("HEAD / HTTP/1.0\\r\\n\\r\\n"));
    await writer.close();
    let head = "";
    for await (const part of readable) head += new TextDecoder().decode(part);
    return response.status + " " + (await response.text()) + ", " + head.slice(0, 15);
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}
`;
const IMAGE = "torito/images/web-server.wasm";
const EXPECTED = "200 from memory, HTTP/1.1 200 OK\n";
const IMPORTING = `
import * as torito from "torito";
console.log(await serve(torito, new URL(import.meta.resolve("${IMAGE}"))));
`;
const REQUIRING = `
const { pathToFileURL } = require("node:url");
serve(require("torito"), pathToFileURL(require.resolve("${IMAGE}"))).then(console.log);
`;
const WORKER = `
import { isMainThread, Worker } from "node:worker_threads";
if (isMainThread) new Worker(new URL(import.meta.url));
else {
${IMPORTING.replace(/import \* as (\w+) from (".*")/, "  const $1 = await import($2)")}
}
`;
/** Of a bundle: the image lies beside it. */
const BUNDLED = `
import * as torito from "torito";
import { pathToFileURL } from "node:url";
serve(torito, pathToFileURL(process.argv[1] + "/../web-server.wasm")).then(console.log);
`;

let installed: string;
beforeAll(() => {
  installed = install();
  for (const [name, text] of Object.entries({
    "import.mjs": SERVE + IMPORTING,
    "require.cjs": SERVE + REQUIRING,
    "worker.mjs": SERVE + WORKER,
    "bundled.mjs": SERVE + BUNDLED,
  })) {
    writeFileSync(join(installed, name), text);
  }
});

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { cwd: installed, encoding: "utf8" });
}

test.each(["import.mjs", "require.cjs", "worker.mjs"])("Node runs %s", (name) => {
  expect(run(process.execPath, name)).toBe(EXPECTED);
});

test("the core is exported without Node's adapters, and so are images and their maps", () => {
  const script = `
    const core = await import("torito/core");
    const { exports } = (await import("torito/package.json", { with: { type: "json" } })).default;
    const map = import.meta.resolve("torito/images/echo.wasm.map");
    console.log(typeof core.Machine.create, "NodeSockets" in core, "./core" in exports);
    console.log(map.endsWith("/node_modules/torito/build/echo.wasm.map"));
  `;
  expect(run(process.execPath, "--input-type=module", "-e", script)).toBe(
    "function false true\ntrue\n",
  );
});

test.each(["esm", "cjs"] as const)("a bundle by esbuild stands alone: %s", async (format) => {
  const folder = makeFolder();
  const outfile = join(folder, format === "esm" ? "bundle.mjs" : "bundle.cjs");
  mkdirSync(folder, { recursive: true });
  const { warnings } = await build({
    entryPoints: [join(installed, "bundled.mjs")],
    bundle: true,
    platform: "node",
    target: "node20",
    format,
    outfile,
    logLevel: "silent",
    logOverride: { "empty-import-meta": "silent" }, // known where it is used, and handled there
  });
  expect(warnings).toEqual([]);
  copyFileSync("build/web-server.wasm", join(folder, "web-server.wasm"));
  expect(execFileSync(process.execPath, [outfile], { encoding: "utf8" })).toBe(EXPECTED);
});

witness("bun", "runs in another engine", async () => {
  expect(run("bun", "import.mjs")).toBe(EXPECTED);
});

witness("deno", "runs in another engine", async () => {
  expect(run("deno", "run", "-A", "--node-modules-dir=manual", "import.mjs")).toBe(EXPECTED);
});
