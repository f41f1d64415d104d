// Measurements over TCP run in a network namespace of their own, with reno: a host whose congestion
// control is BBR paces even its loopback, which makes rates of one connection come in two sizes.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

const ALGORITHM = "/proc/sys/net/ipv4/tcp_congestion_control";
/** Set in the process that runs inside. */
const INSIDE = "TORITO_BENCH_NAMESPACE";

/** The host's congestion control, or "unknown" where it is not said. */
export function congestionControl() {
  try {
    return readFileSync(ALGORITHM, "utf8").trim();
  } catch {
    return "unknown";
  }
}

/**
 * Runs this process once more, inside, and ends with its exit code. Returns where that cannot be,
 * with the reason on `note`, and inside.
 * @param {(line: string) => void} note
 */
export function enterNamespace(note) {
  if (process.env[INSIDE] !== undefined) return;
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const script = `ip link set lo up && echo reno > ${ALGORITHM} && exec "$@"`;
  const inside = ["unshare", ...user, "--net", "sh", "-c", script, "sh"];
  const [command = "", ...words] = inside;
  if (spawnSync(command, [...words, "true"]).status !== 0) {
    note(`no network namespace (unshare, ip): measured with ${congestionControl()}`);
    return;
  }
  const { status } = spawnSync(command, [...words, process.execPath, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, [INSIDE]: "1" },
  });
  process.exit(status ?? 1);
}
