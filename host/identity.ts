// What a guest tells devices of one kind by: the CID of a socket device, the tag of a file system.
import type { VirtioDevice } from "./device.ts";

/** Throws when two devices of a machine would be the same to its guest. */
export function assertDistinct(devices: readonly VirtioDevice[]): void {
  const known = new Set<string>();
  for (const { id, name, identity } of devices) {
    if (identity === undefined) continue;
    const key = `${id} ${identity}`;
    if (known.has(key)) {
      throw new Error(`${name}: ${identity} is taken by another device of the machine`);
    }
    known.add(key);
  }
}
