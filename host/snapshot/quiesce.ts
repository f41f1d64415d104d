// Waits until no device has a request under way on the host: half a write could not be done again.
import type { VirtioDevice } from "../device.ts";
import type { Clock } from "../ports/clock.ts";
import { SnapshotError } from "./errors.ts";

/**
 * Runs `body` while all devices are quiet. Rejects, without having run it, if one of them is not
 * after `patienceMs`. In any case the devices go on afterwards.
 */
export async function whileQuiet<Result>(
  devices: readonly VirtioDevice[],
  clock: Clock,
  patienceMs: number,
  body: () => Result,
): Promise<Result> {
  const loud = new Set<string>();
  const quiet = devices.map(async ({ name, snapshots }) => {
    loud.add(name);
    await snapshots?.quiesce?.();
    loud.delete(name);
  });
  let cancel: () => void = () => {};
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(patienceMs, () => {
      const names = [...loud].join(", ");
      const reason = `${names}: a request is still under way after ${patienceMs / 1000} s`;
      reject(new SnapshotError("ERR_SNAPSHOT_BUSY", reason));
    });
  });
  try {
    await Promise.race([Promise.all(quiet), late]);
    return body();
  } finally {
    cancel();
    for (const { snapshots } of devices) snapshots?.resume?.();
  }
}
