// Programs that a benchmark starts: pinned to a core, their CPU time read from /proc, and ended by
// pid whatever happens. Features of Linux are left out elsewhere.
import { spawn } from "node:child_process";
import { accessSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const OUTPUT_CHARACTERS_MAX = 4096;
const STOP_MS = 2000;

/** @param {string} program */
export function has(program) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Numbers of the cores that this process may use; none where pinning is not to be had. */
export function usableCores() {
  if (!has("taskset")) return [];
  const list = /Cpus_allowed_list:\s+(\S+)/.exec(read("/proc/self/status") ?? "")?.[1] ?? "";
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, first, last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i),
  );
}

/** @param {string} path @returns {string | null} */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();
/** @type {string[]} */
const folders = [];

/** A folder that is gone when the run is over. */
export function makeFolder() {
  const folder = mkdtempSync(join(tmpdir(), "torito-bench-"));
  folders.push(folder);
  return folder;
}

/** Ends and removes what is left; for the exit of the process. */
export function cleanUp() {
  for (const child of running) child.kill("SIGTERM");
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A program that runs until it is stopped. */
export class Program {
  /** The last of what it printed. */
  stdout = "";
  stderr = "";

  /**
   * @param {readonly string[]} command
   * @param {number | undefined} core undefined: wherever the system puts it
   */
  constructor(command, core) {
    this.child = begin(command, core);
    for (const name of /** @type {const} */ (["stdout", "stderr"])) {
      this.child[name].setEncoding("utf8").on("data", (/** @type {string} */ text) => {
        this[name] = (this[name] + text).slice(-OUTPUT_CHARACTERS_MAX);
      });
    }
    this.child.on("error", (error) => {
      this.stderr = error.message;
    });
    /** @type {Promise<void>} */
    this.ended = new Promise((resolve) => this.child.on("close", () => resolve()));
  }

  get alive() {
    return running.has(this.child);
  }

  async stop() {
    if (!this.alive) return;
    this.child.kill("SIGTERM");
    const impatient = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    await this.ended;
    clearTimeout(impatient);
  }

  /** CPU time in microseconds of all its threads and children since they began; null: unknown. */
  cpuUs() {
    const ns = this.child.pid === undefined ? null : cpuNs(this.child.pid);
    return ns === null ? null : ns / 1e3;
  }
}

/**
 * @param {readonly string[]} command
 * @param {number | undefined} core
 * @param {number} [timeoutMs]
 */
function begin(command, core, timeoutMs) {
  const [file = "", ...args] =
    core === undefined ? command : ["taskset", "-c", `${core}`, ...command];
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs });
  running.add(child);
  child.on("exit", () => running.delete(child));
  child.on("error", () => running.delete(child));
  return child;
}

/** @param {number} pid @returns {number | null} */
function cpuNs(pid) {
  let ns = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const task = `/proc/${pid}/task/${thread}`;
      ns += Number(readFileSync(`${task}/schedstat`, "utf8").split(" ")[0]);
      const children = (read(`${task}/children`) ?? "").split(" ").filter((one) => one !== "");
      for (const child of children) ns += cpuNs(Number(child)) ?? 0;
    }
    return ns;
  } catch {
    return null;
  }
}

/**
 * Runs a program to its end. Throws an Error with what it said when it fails or takes too long.
 * @param {readonly string[]} command
 * @param {number | undefined} core
 * @param {number} timeoutMs
 * @returns {Promise<string>} what it printed on stdout
 */
export async function runToEnd(command, core, timeoutMs) {
  const child = begin(command, core, timeoutMs);
  const printed = { stdout: "", stderr: "" };
  for (const name of /** @type {const} */ (["stdout", "stderr"])) {
    child[name].setEncoding("utf8").on("data", (/** @type {string} */ text) => {
      printed[name] += text;
    });
  }
  /** @type {number | string} */
  const end = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? signal ?? "?"));
  });
  if (end === 0) return printed.stdout;
  throw new Error(`${command[0]} ended with ${end}: ${printed.stderr.trim().slice(-200)}`);
}

/** A TCP port of 127.0.0.1 that nobody uses now. @returns {Promise<number>} */
export function findFreePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(address.port));
    });
  });
}
