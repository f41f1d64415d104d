// Guests with a network card, and their peers: Linux's TCP behind a tap of this namespace, or C
// programs behind the `user` network.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bulk, bulkServer, cPrograms, Guest, splitCores } from "./machines.mjs";
import { has, makeFolder, Program } from "./programs.mjs";

/**
 * `card` has options of NetDevice; `port` is the guest's that is published; `path` is where the
 * tap's frames go.
 * @typedef {{ image: string, parameters: string, memoryMB: number, link: "user" | "tap",
 *   path?: string, card?: Record<string, unknown>, port?: number, allow?: number[],
 *   profiled?: boolean }} NetConfiguration
 */

const CHILD = fileURLToPath(new URL("net-child.mjs", import.meta.url));
const TAP = fileURLToPath(new URL("../../test/support/tap.c", import.meta.url));
const GUEST = "10.9.0.1";
const LINUX = "10.9.0.2";
/** Of nc in the guest. */
const PORT = 5001;
const CALL_BYTES = 262144;

/** @type {string | null} */
let tapProgram = null;

/** Why there is no tap here; null: there is one. */
export function withoutTap() {
  if (process.env.TORITO_BENCH_NAMESPACE === undefined) return "no network namespace";
  if (cPrograms() === null) return "no cc";
  if (!has("ip")) return "no ip";
  return existsSync("/dev/net/tun") ? null : "no /dev/net/tun";
}

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
 * @typedef {{ rate: number, cpu: number, counted: Record<string, number>,
 *   shares: [string, number][] }} Moved
 */

/**
 * 10^6 * `mb` bytes to nc in a guest, or from it: megabytes per second as the peer sees it, the CPU
 * time of the guest's process for each of them, what its device counted, and in a profiled guest
 * percent of its time by owner.
 * @param {"rx" | "tx"} way of the guest
 * @param {"user" | "tap"} link
 * @param {{ parameters: string, card?: Record<string, unknown>, memoryMB?: number, mb: number,
 *   mtu: number, profiled?: boolean }} run
 * @returns {Promise<Moved>}
 */
export async function moveOverNet(way, link, run) {
  const { parameters, card = {}, memoryMB = 256, mb, mtu, profiled = false } = run;
  const cores = splitCores();
  const path = join(makeFolder(), "frames");
  const sink =
    way === "tx"
      ? await bulkServer(
          "sink",
          "tcp",
          CALL_BYTES,
          mb,
          cores.peer,
          link === "user" ? undefined : "0.0.0.0",
        )
      : null;
  const peer = link === "user" ? "10.0.2.2" : LINUX;
  const task = sink === null ? `port=${PORT}` : `to=${peer} port=${sink.where} bytes=${mb * 1e6}`;
  const address =
    link === "user" ? "net.address=10.0.2.15/24 net.gateway=10.0.2.2" : `net.address=${GUEST}/24`;
  /** @type {NetConfiguration} */
  const configuration = {
    image: "nc",
    parameters: `${address} size=${CALL_BYTES} ${task} ${parameters}`,
    memoryMB,
    link,
    path,
    card: { mtu, ...card },
    profiled,
    ...(sink === null ? {} : { allow: [Number(sink.where)] }),
    ...(way === "rx" ? { port: PORT } : {}),
  };
  const program = new Program(
    [process.execPath, CHILD, JSON.stringify(configuration)],
    cores.guest,
  );
  /** @type {Program | null} */
  let tap = null;
  try {
    if (link === "tap") {
      while (!existsSync(path) && program.alive) await new Promise((r) => setTimeout(r, 5));
      tap = startTap(path, mtu);
    }
    const guest = new Guest(
      program,
      JSON.parse(await new Guest(program, []).said(/^ready (.*)$/m)),
    );
    if (sink === null) await guest.said(/(listening on TCP port)/);
    const where = link === "user" ? `${guest.port}` : `${GUEST}:${PORT}`;
    const moved =
      sink === null
        ? await bulk("source", "tcp", where, CALL_BYTES, mb, cores.peer)
        : await sink.ended;
    if (moved.bytes !== mb * 1e6) throw new Error(`${moved.bytes} of ${mb} MB arrived`);
    const cpuUs = Number(await guest.said(/^cpu (\d+)/m));
    const counted = JSON.parse(await guest.said(/^counted (.*)$/m));
    const shares = profiled ? JSON.parse(await guest.said(/^shares (.*)$/m)) : [];
    return { rate: moved.bytes / 1e6 / moved.seconds, cpu: cpuUs / mb, counted, shares };
  } finally {
    await program.stop();
    await tap?.stop();
  }
}
