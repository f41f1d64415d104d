// Programs that are not part of the project: CI installs them, elsewhere their absence is named.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "vitest";
import { has, makeFolder } from "./appliance.ts";

export function witness(program: string, title: string, body: () => Promise<void>): void {
  if (has(program)) test(`${title} (${program})`, body);
  else missing(`${title}: ${program} is not installed`);
}

/**
 * With Linux in a network namespace of its own, joined by a tap, and further programs; any user may
 * make one.
 */
export function linuxWitness(
  title: string,
  body: () => Promise<void>,
  ...programs: readonly string[]
): void {
  const reason = withoutLinux(programs);
  if (reason === null) test(`${title} (${["Linux", ...programs].join(", ")})`, body);
  else missing(`${title}: ${reason}`);
}

function withoutLinux(programs: readonly string[]): string | null {
  const wanted = ["cc", "unshare", "ip", "ping", ...programs];
  const absent = wanted.find((program) => !has(program));
  if (absent !== undefined) return `${absent} is not installed`;
  if (!existsSync("/dev/net/tun")) return "there is no /dev/net/tun";
  const made = spawnSync("unshare", ["--map-root-user", "--net", "true"]).status === 0;
  return made ? null : "no right to make a network namespace";
}

function missing(title: string): void {
  test.skip(title, () => {});
}

/** With a disk of its own of that size, which only root can mount. */
export function onSmallDisk(
  bytes: number,
  title: string,
  body: (folder: string) => void | Promise<void>,
): void {
  const mount = (folder: string) =>
    spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", folder]).status === 0;
  const unmount = (folder: string) => spawnSync("umount", ["-l", folder]);
  const probe = makeFolder();
  if (!mount(probe)) {
    missing(`${title}: no right to mount`);
    return;
  }
  unmount(probe);
  test(title, async () => {
    const folder = makeFolder();
    if (!mount(folder)) throw new Error("mount: failed");
    try {
      await body(folder);
    } finally {
      unmount(folder);
    }
  });
}
