// The descriptors of this process that lead into a directory of a test. The process has others,
// which the test runner and Node open and close when they like, so a count of all proves nothing.
import nodefs from "node:fs";

/** How many descriptors lead to `directory` or below it, deleted files included. */
export function descriptorsIn(directory: string): number {
  const real = nodefs.realpathSync(directory);
  return targets().filter((target) => target === real || target.startsWith(`${real}/`)).length;
}

/** How many sockets this process has. */
export function socketsOpen(): number {
  return targets().filter((target) => target.startsWith("socket:")).length;
}

function targets(): string[] {
  return nodefs.readdirSync("/proc/self/fd").map(targetOf);
}

function targetOf(descriptor: string): string {
  try {
    return nodefs.readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ""; // the listing's own, or closed since
  }
}
