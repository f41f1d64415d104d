// The snapshot of `--restore`, as the command line reads it and speaks of it.
import type { Log } from "../log.ts";
import { Snapshot } from "../node/snapshot.ts";
import { SnapshotError } from "../snapshot/errors.ts";
import type { Command } from "./arguments.ts";
import { CliError } from "./usage.ts";

/** Whatever is wrong with the file is the user's error. */
export async function readSnapshot(path: string): Promise<Snapshot> {
  try {
    return await Snapshot.load(path);
  } catch (error) {
    const { message } = error as Error;
    throw new CliError(
      error instanceof SnapshotError ? `${path}: ${message}` : `snapshot: ${message}`,
    );
  }
}

/** Reads the file, and says what it is. */
export async function loadSnapshot(path: string, log: Log): Promise<Snapshot> {
  const snapshot = await readSnapshot(path);
  const image = snapshot.content.image.hash?.slice(0, 12);
  const age = ageText(Date.now() - snapshot.takenMs);
  const lost = `connections to reset: ${snapshot.connections}`;
  log("info", "torito", `restoring ${path} (image ${image}, taken ${age} ago, ${lost})`);
  return snapshot;
}

/**
 * The command with devices like those of the snapshot: windows as large, which are the same for
 * all, and settings of the site only if its guest knows some.
 */
export function withDevicesOf(command: Command, snapshot: Snapshot): Command {
  const [volume] = command.volumes;
  const { devices } = snapshot.content;
  const device = devices.find(({ name }) => name === `fs ${volume?.tag}`);
  const site = devices.some(({ name }) => name === "fs settings") ? command.site : null;
  return { ...command, windowBytes: device?.sharedMemory[0] ?? 0, site };
}

/** As in "2 h". */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
