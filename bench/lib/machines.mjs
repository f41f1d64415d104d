// Subjects of the studies: guests in processes of their own, and C programs as their peers.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findFreePort, has, makeFolder, Program, runToEnd, usableCores } from "./programs.mjs";

/**
 * A guest: an image, by its path or its name in build/, its parameters, and how the host receives.
 * `publish` has the guest ports of each vsock device, `path` is an AF_UNIX path of the first
 * (CONNECT port), `site` a directory.
 * @typedef {{ image: string, parameters?: string, memoryMB?: number, bufAlloc?: number,
 *   receive?: "adaptive" | "data" | "in-place", publish: number[][], path?: string,
 *   site?: string, profiled?: boolean }} Configuration
 */
/** @typedef {{ bytes: number, seconds: number, cpuUs: number }} Transfer */
/** @typedef {{ mean: number, p50: number, p99: number }} RoundTrips */

const CHILD = fileURLToPath(new URL("machine-child.mjs", import.meta.url));
const SOURCES = fileURLToPath(new URL("../peers/c/", import.meta.url));
const PATIENCE_MS = 120_000;
const READY_MS = 20_000;

/** The cores of both sides. @returns {{ guest: number | undefined, peer: number | undefined }} */
export function splitCores() {
  const [guest, peer] = usableCores();
  return { guest, peer: peer ?? guest };
}

/** A guest that is ready, until it is stopped or ends. */
export class Guest {
  /** @param {Program} program @param {number[]} ports */
  constructor(program, ports) {
    this.program = program;
    this.ports = ports;
  }

  /**
   * @param {Configuration} configuration
   * @param {number | undefined} core
   */
  static async start(configuration, core) {
    const program = new Program([process.execPath, CHILD, JSON.stringify(configuration)], core);
    const ready = await waitFor(program, /^ready (.*)$/m);
    return new Guest(program, JSON.parse(ready));
  }

  get port() {
    return this.ports[0] ?? 0;
  }

  /** Resolves with a line of its console. @param {RegExp} pattern */
  said(pattern) {
    return waitFor(this.program, pattern);
  }

  async stop() {
    await this.program.stop();
  }
}

/** @param {Program} program @param {RegExp} pattern @returns {Promise<string>} */
async function waitFor(program, pattern) {
  const deadline = performance.now() + READY_MS;
  while (true) {
    const found = pattern.exec(program.stdout)?.[1];
    if (found !== undefined) return found;
    if (!program.alive || performance.now() > deadline) {
      const said = `${program.stdout.slice(-200)} ${program.stderr.slice(-300)}`.trim();
      throw new Error(`the guest did not say ${pattern}: ${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** @type {string | null} */
let programs = null;

/** The folder of the C programs, compiled once; null: there is no compiler. */
export function cPrograms() {
  if (programs !== null || !has("cc")) return programs;
  const folder = makeFolder();
  for (const name of ["echo", "ping-pong", "bulk"]) {
    const source = join(SOURCES, `${name}.c`);
    const { status, stderr } = spawnSync("cc", ["-O2", "-o", join(folder, name), source]);
    if (status !== 0) throw new Error(`cc ${source}: ${stderr}`);
  }
  programs = folder;
  return programs;
}

/** @param {string} name */
function cProgram(name) {
  const folder = cPrograms();
  if (folder === null) throw new Error("there is no cc to compile the peers with");
  return join(folder, name);
}

/**
 * A C echo on a free port or a path.
 * @param {"tcp" | "unix"} kind
 * @param {number | undefined} core
 */
export async function startEcho(kind, core) {
  const where = kind === "tcp" ? String(await findFreePort()) : join(makeFolder(), "echo");
  const program = new Program([cProgram("echo"), kind, where], core);
  await reachable(kind, where);
  return { program, where };
}

/** Waits until a path exists; TCP peers are tried by whoever connects. */
async function reachable(/** @type {string} */ kind, /** @type {string} */ where) {
  const deadline = performance.now() + READY_MS;
  while (kind === "unix" && !existsSync(where) && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/**
 * Round trips in microseconds, by the C client.
 * @param {string} kind tcp, unix or vsock
 * @param {string | number} where
 * @param {number} size
 * @param {number} count
 * @param {number | undefined} core
 * @returns {Promise<RoundTrips>}
 */
export async function pingPong(kind, where, size, count, core) {
  const command = [cProgram("ping-pong"), kind, `${where}`, `${size}`, `${count}`];
  return JSON.parse(await runToEnd(command, core, PATIENCE_MS));
}

/**
 * A C source or sink that connects, to its end.
 * @param {"source" | "sink"} role
 * @param {string} kind
 * @param {string | number} where
 * @param {number} size bytes of a call
 * @param {number} mb
 * @param {number | undefined} core
 * @returns {Promise<Transfer>}
 */
export async function bulk(role, kind, where, size, mb, core) {
  const command = [cProgram("bulk"), role, "connect", kind, `${where}`, `${size}`, `${mb}`];
  return JSON.parse(await runToEnd(command, core, PATIENCE_MS));
}

/**
 * A C source or sink that waits for one client; its result when it has ended.
 * @param {"source" | "sink"} role
 * @param {"tcp" | "unix"} kind
 * @param {number} size
 * @param {number} mb
 * @param {number | undefined} core
 * @param {string} [address] of this host, to listen on
 */
export async function bulkServer(role, kind, size, mb, core, address = "127.0.0.1") {
  const where = kind === "tcp" ? String(await findFreePort()) : join(makeFolder(), "bulk");
  const at = kind === "tcp" ? `${address}:${where}` : where;
  const command = [cProgram("bulk"), role, "listen", kind, at, `${size}`, `${mb}`];
  const ended = runToEnd(command, core, PATIENCE_MS).then(
    (output) => /** @type {Transfer} */ (JSON.parse(output)),
  );
  ended.catch(() => {}); // whoever waits for it will see
  await reachable(kind, where);
  return { where, ended };
}

/**
 * rx-zerocopy against a C peer: megabytes per second as the peer sees it, the CPU time of the
 * guest's process for each megabyte (null: unknown), and the receive buffers that it posted; in a
 * profiled guest also percent of that time, by owner. The last of `runs` counts.
 * @param {"rx" | "tx"} mode
 * @param {Partial<Configuration>} configuration
 * @param {string} parameters
 * @param {number} pages of a call of the guest
 * @param {number} mb
 * @param {number} [runs]
 */
export async function transfer(mode, configuration, parameters, pages, mb, runs = 1) {
  const cores = splitCores();
  const guest = await Guest.start(
    {
      ...configuration,
      image: "rx-zerocopy",
      publish: [[1234]],
      parameters: `mode=${mode} mb=${mb} ${mode}=${pages} runs=${runs} ${parameters}`,
    },
    cores.guest,
  );
  const role = mode === "rx" ? "source" : "sink";
  const move = async () => {
    const { bytes, seconds } = await bulk(role, "tcp", guest.port, 262144, mb, cores.peer);
    if (bytes !== mb * 1e6) throw new Error(`${bytes} of ${mb} MB arrived`);
    return bytes / 1e6 / seconds;
  };
  try {
    const ready = guest.program.cpuUs();
    for (let run = 1; run < runs; run++) await move();
    const begun = guest.program.cpuUs();
    const rate = await move();
    await guest.program.ended;
    const all = Number(await guest.said(/^cpu (\d+)/m));
    const before = runs === 1 ? 0 : begun === null || ready === null ? null : begun - ready;
    const cpu = before === null ? null : (all - before) / mb;
    const posted = Number(await guest.said(/^posted (\d+)/m));
    /** @type {[string, number][]} */
    const shares = configuration.profiled ? JSON.parse(await guest.said(/^shares (.*)$/m)) : [];
    return { rate, cpu, posted, shares };
  } finally {
    await guest.stop();
  }
}

/**
 * A transfer's figures as samples of one row.
 * @param {{ case: string, subject: string }} row
 * @param {{ rate: number, cpu: number | null }} figures
 * @returns {import("./report.mjs").Sample[]}
 */
export function transferred(row, { rate, cpu }) {
  const samples = [{ ...row, metric: "rate", unit: "MB/s", value: rate }];
  if (cpu !== null) samples.push({ ...row, metric: "CPU", unit: "us/MB", value: cpu });
  return samples;
}
