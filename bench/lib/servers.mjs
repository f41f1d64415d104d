// The web servers that are measured: the appliance and its peers, each in its good configuration,
// serving one folder on a port of 127.0.0.1.
import { cpSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { findFreePort, has, makeFolder, Program } from "./programs.mjs";

/** @typedef {{ path: string, bytes: number }} File */
/** @typedef {{ folder: string, large: File, small: File }} Site */
/** @typedef {{ name: string, port: number, program: Program, connectionsMax: number }} Server */
/**
 * `missing` says why it cannot take part.
 * @typedef {{ name: string, missing: string | null, connectionsMax?: number,
 *   command: (site: Site, port: number) => string[] | Promise<string[]> }} Subject
 */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLI = join(ROOT, "dist/host/cli.js");
const READY_MS = 10_000;

/** @type {readonly Subject[]} */
export const subjects = [
  {
    name: "torito",
    missing: existsSync(CLI) ? null : "dist/host/cli.js is not built",
    command: (site, port) => [process.execPath, CLI, "serve", site.folder, "-p", `${port}:80`],
  },
  {
    name: "nginx",
    missing: has("nginx") ? null : "it is not installed",
    command: (site, port) => ["nginx", "-c", writeNginxConfiguration(site, port)],
  },
  {
    name: "node",
    missing: null,
    command: (site, port) => script("node-server.mjs", site, port),
  },
  {
    name: "sirv",
    missing: hasPackage("sirv") ? null : "the package is not installed",
    command: (site, port) => script("sirv-server.mjs", site, port),
  },
  {
    name: "wasmer",
    // Not a dependency: its licence is its own, and it is here for four rows.
    missing: hasPackage("@wasmer/sdk") ? null : "npm install --no-save @wasmer/sdk@0.16.0 adds it",
    connectionsMax: 1, // its guest serves one after another
    command: async (site, port) => {
      wasmerImage ??= compileWasmerGuest();
      return [...script("wasmer-server.mjs", site, port), await wasmerImage];
    },
  },
];

/** @type {Promise<string> | null} */
let wasmerImage = null;

async function compileWasmerGuest() {
  const image = join(makeFolder(), "wasmer-http.wasm");
  const options = ["--runtime", "stub", "-O3", "--use", "abort=", "--baseDir", "/"];
  const source = join(ROOT, "bench/guest/wasmer-http.ts");
  const { error, stderr } = await asc.main([source, ...options, "--outFile", image]);
  if (error) throw new Error(`${source}: ${stderr}`);
  return image;
}

/** @param {string} name */
function hasPackage(name) {
  return existsSync(join(ROOT, "node_modules", name));
}

/** @param {string} name @param {Site} site @param {number} port */
function script(name, site, port) {
  return [process.execPath, join(ROOT, "bench/peers", name), site.folder, String(port)];
}

/**
 * The sample site if it has both files, without its rules, which other servers do not follow;
 * otherwise a folder with files of the same sizes.
 */
export function findSite() {
  const large = "img/torito.png";
  const small = "small.html";
  const sample = join(ROOT, "apps/web-server/site");
  const folder = join(makeFolder(), "site");
  if (existsSync(join(sample, large)) && existsSync(join(sample, small))) {
    cpSync(sample, folder, { recursive: true, filter: (path) => basename(path) !== "_headers" });
  } else {
    mkdirSync(join(folder, "img"), { recursive: true });
    writeFileSync(join(folder, large), Buffer.alloc(133_000, 0x55));
    writeFileSync(join(folder, small), `<p>${"x".repeat(1000)}</p>`);
  }
  const file = (/** @type {string} */ path) => ({
    path: `/${path}`,
    bytes: statSync(join(folder, path)).size,
  });
  return { folder, large: file(large), small: file(small) };
}

/**
 * One worker, sendfile, cached descriptors, no access log: nginx at its best for such files.
 * @param {Site} site
 * @param {number} port
 */
function writeNginxConfiguration(site, port) {
  const folder = makeFolder();
  const spools = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const path = join(folder, "nginx.conf");
  // Started by root the worker would be somebody who may not read the site.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  writeFileSync(
    path,
    `daemon off; worker_processes 1; ${user}
pid "${folder}/nginx.pid";
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  ${spools.map((spool) => `${spool}_temp_path "${folder}/${spool}";`).join("\n  ")}
  types { text/html html; image/png png; }
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  open_file_cache max=100 inactive=60s;
  open_file_cache_valid 60s;
  server { listen 127.0.0.1:${port} backlog=1024; root "${site.folder}"; }
}
`,
  );
  return path;
}

/**
 * Starts a subject and waits until it serves both files as they are. Throws an Error that says why
 * it does not; nothing is left running then.
 * @param {Subject} subject
 * @param {Site} site
 * @param {number | undefined} core
 * @returns {Promise<Server>}
 */
export async function startServer(subject, site, core) {
  const port = await findFreePort();
  const program = new Program(await subject.command(site, port), core);
  try {
    await waitUntilReady(program, port, site.large);
    await fetchWhole(port, site.small);
    const { name, connectionsMax = Number.POSITIVE_INFINITY } = subject;
    return { name, port, program, connectionsMax };
  } catch (error) {
    await program.stop();
    const { message } = /** @type {Error} */ (error);
    throw new Error(`${subject.name} does not serve: ${message} ${program.stderr.trim()}`);
  }
}

/** @param {Program} program @param {number} port @param {File} file */
async function waitUntilReady(program, port, file) {
  const deadline = performance.now() + READY_MS;
  while (true) {
    try {
      return await fetchWhole(port, file);
    } catch (error) {
      if (!program.alive || performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Rejects unless the whole file comes.
 * @param {number} port
 * @param {File} file
 * @returns {Promise<void>}
 */
function fetchWhole(port, { path, bytes }) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, agent: false, timeout: READY_MS };
    const request = http.get(options, (response) => {
      let got = 0;
      response.on("data", (chunk) => {
        got += chunk.length;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200 && got === bytes) resolve();
        else reject(new Error(`${path}: ${response.statusCode}, ${got} of ${bytes} bytes`));
      });
    });
    request.on("timeout", () => request.destroy(new Error(`${path}: no answer`)));
    request.on("error", reject);
  });
}
