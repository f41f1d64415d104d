// Guests with a network card, and their peers: C programs, by a tap to this namespace's Linux, by
// the `user` network, or by passt.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bulk, bulkServer, cPrograms, Guest, splitCores } from "./machines.mjs";
import { findFreePort, has, makeFolder, Program } from "./programs.mjs";

/** The network of a card. @typedef {"user" | "tap" | "passt"} Link */
/**
 * `card` has options of NetDevice; `port` is the guest's that is published; `path` is where the
 * frames of a tap or of passt go.
 * @typedef {{ image: string, parameters: string, memoryMB: number, link: Link,
 *   path?: string, card?: Record<string, unknown>, port?: number, allow?: number[],
 *   site?: string, profiled?: boolean, network?: Record<string, unknown> }} NetConfiguration
 */

const CHILD = fileURLToPath(new URL("net-child.mjs", import.meta.url));
const TAP = fileURLToPath(new URL("../../test/support/tap.c", import.meta.url));
const GUEST = "10.9.0.1";
const LINUX = "10.9.0.2";
/** Of nc in the guest. */
const PORT = 5001;
const CALL_BYTES = 262144;

/** passt takes it for the host's network; there is nobody in it. */
const UPLINK = `ip link add up0 type veth peer name up1 && ip link set up1 up &&
  ip addr add 198.51.100.2/24 dev up0 && ip link set up0 up &&
  ip route add default via 198.51.100.1`;
const UPLINK_ADDRESS = "198.51.100.2";
const UPLINK_GATEWAY = "198.51.100.1";

/** @type {string | null} */
let tapProgram = null;
let hasUplink = false;

/** Why there is no tap here; null: there is one. */
export function withoutTap() {
  if (process.env.TORITO_BENCH_NAMESPACE === undefined) return "no network namespace";
  if (cPrograms() === null) return "no cc";
  if (!has("ip")) return "no ip";
  return existsSync("/dev/net/tun") ? null : "no /dev/net/tun";
}

/** Why there is no passt here; null: there is one. */
export function withoutPasst() {
  if (process.env.TORITO_BENCH_NAMESPACE === undefined) return "no network namespace";
  return has("passt") ? null : "it is not installed";
}

/** passt, which connects to `path`. Its port of the host leads to the guest's. */
async function startPasst(/** @type {string} */ path, /** @type {number} */ port) {
  if (!hasUplink && spawnSync("sh", ["-c", UPLINK]).status !== 0) throw new Error("no uplink");
  hasUplink = true;
  chmodSync(dirname(path), 0o777); // started by root it becomes nobody
  const free = await findFreePort();
  const flags = ["-f", "-q", "-1", "-4", "-u", "none", "-t", `${free}:${port}`, "-s", path];
  const program = new Program(["passt", ...flags], undefined);
  while (!existsSync(path) && program.alive) await pause();
  return { program, port: free };
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Joins a new tap with the stream at `path`. @param {string} path @param {number} mtu */
function startTap(path, mtu) {
  if (tapProgram === null) {
    tapProgram = join(makeFolder(), "tap");
    const made = spawnSync("cc", ["-O2", "-o", tapProgram, TAP]);
    if (made.status !== 0) throw new Error(`cc ${TAP}: ${made.stderr}`);
  }
  const program = new Program([tapProgram, path, "tap0"], undefined);
  const script = `until ip link show tap0 >/dev/null 2>&1; do sleep 0.02; done
    ip addr add ${LINUX}/24 dev tap0 && ip link set tap0 mtu ${mtu} up`;
  const set = spawnSync("sh", ["-c", script], { encoding: "utf8" });
  if (set.status !== 0) throw new Error(`tap0: ${set.stderr}`);
  return program;
}

/**
 * @typedef {{ image: string, parameters: string, card?: Record<string, unknown>, mtu: number,
 *   memoryMB?: number, port?: number, allow?: number[], site?: string, profiled?: boolean,
 *   network?: Record<string, unknown> }} Wanted
 */

/** A guest with a card, and how its `port` is reached: PORT of this host, or ADDRESS:PORT. */
export class NetGuest {
  /** @param {Guest} guest @param {Program | null} helper @param {string} where */
  constructor(guest, helper, where) {
    this.guest = guest;
    this.helper = helper;
    this.where = where;
  }

  /** @param {Link} link @param {Wanted} wanted */
  static async start(link, { memoryMB = 256, mtu, card = {}, parameters, ...wanted }) {
    const core = splitCores().guest;
    const path = join(makeFolder(), "frames");
    const passt = link === "passt" ? await startPasst(path, wanted.port ?? PORT) : null;
    const configuration = {
      ...{ ...wanted, memoryMB, link, path, card: { mtu, ...card } },
      parameters: `${ADDRESSES[link]} ${parameters}`,
    };
    const program = new Program([process.execPath, CHILD, JSON.stringify(configuration)], core);
    try {
      while (link === "tap" && !existsSync(path) && program.alive) await pause();
      const tap = link === "tap" ? startTap(path, mtu) : null;
      const ready = await new Guest(program, []).said(/^ready (.*)$/m);
      const guest = new Guest(program, JSON.parse(ready));
      const port = wanted.port ?? PORT;
      const where = link === "tap" ? `${GUEST}:${port}` : `${passt?.port ?? guest.port}`;
      return new NetGuest(guest, tap ?? passt?.program ?? null, where);
    } catch (error) {
      await program.stop();
      throw error;
    }
  }

  async stop() {
    await this.guest.stop();
    await this.helper?.stop();
  }
}

/** The guest's own, and where the host is. */
const ADDRESSES = {
  user: "net.address=10.0.2.15/24 net.gateway=10.0.2.2",
  tap: `net.address=${GUEST}/24`,
  passt: `net.address=${UPLINK_ADDRESS}/24 net.gateway=${UPLINK_GATEWAY}`,
};
const HOSTS = { user: "10.0.2.2", tap: LINUX, passt: UPLINK_GATEWAY };

/**
 * @typedef {{ rate: number, cpu: number, counted: Record<string, number>,
 *   shares: [string, number][] }} Moved
 */

/**
 * 10^6 * `mb` bytes to nc in a guest, or from it: megabytes per second as the peer sees it, the CPU
 * time of the guest's process for each of them, what its device counted, and in a profiled guest
 * percent of its time by owner.
 * @param {"rx" | "tx"} way of the guest
 * @param {Link} link
 * @param {Omit<Wanted, "image"> & { mb: number }} run
 * @returns {Promise<Moved>}
 */
export async function moveOverNet(way, link, { parameters, mb, ...wanted }) {
  const core = splitCores().peer;
  const from = link === "tap" ? "0.0.0.0" : undefined;
  const sink = way === "tx" ? await bulkServer("sink", "tcp", CALL_BYTES, mb, core, from) : null;
  const task =
    sink === null ? `port=${PORT}` : `to=${HOSTS[link]} port=${sink.where} bytes=${mb * 1e6}`;
  const guest = await NetGuest.start(link, {
    ...wanted,
    image: "nc",
    parameters: `size=${CALL_BYTES} ${task} ${parameters}`,
    ...(sink === null ? { port: PORT } : { allow: [Number(sink.where)] }),
  });
  try {
    if (sink === null) await guest.guest.said(/(listening on TCP port)/);
    const moved =
      sink === null
        ? await bulk("source", "tcp", guest.where, CALL_BYTES, mb, core)
        : await sink.ended;
    if (moved.bytes !== mb * 1e6) throw new Error(`${moved.bytes} of ${mb} MB arrived`);
    const cpuUs = Number(await guest.guest.said(/^cpu (\d+)/m));
    const counted = JSON.parse(await guest.guest.said(/^counted (.*)$/m));
    const shares = wanted.profiled ? JSON.parse(await guest.guest.said(/^shares (.*)$/m)) : [];
    return { rate: moved.bytes / 1e6 / moved.seconds, cpu: cpuUs / mb, counted, shares };
  } finally {
    await guest.stop();
  }
}
