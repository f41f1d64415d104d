// The options of a machine that is made from a snapshot.
import { equalBytes } from "../bytes.ts";
import type { MachineOptions } from "../options.ts";
import type { Platform } from "../parts.ts";
import { SnapshotError } from "./errors.ts";
import type { Snapshot } from "./snapshot.ts";

/**
 * Options of Machine.restore(): those of a machine, but for what the snapshot says. The image is
 * needed if the snapshot comes from a file.
 */
export type RestoreOptions = Omit<MachineOptions, "image" | "memoryBytes" | "parameters"> &
  Partial<Pick<MachineOptions, "image">>;

/**
 * The image is compiled once, however many machines are made from the snapshot. Throws
 * SnapshotError if it is missing.
 */
export function optionsFor({ content }: Snapshot, options: RestoreOptions): MachineOptions {
  const { bytes, module } = content.image;
  const isKnown = bytes !== null && isSame(options.image, bytes);
  const image = isKnown ? module : (options.image ?? module);
  if (image === null) {
    const hash = content.image.hash?.slice(0, 12) ?? "";
    throw new SnapshotError("ERR_SNAPSHOT_IMAGE", `its image is needed, which is ${hash}`);
  }
  return { ...options, image, memoryBytes: content.ramBytes };
}

/** Are these the bytes? A URL is not looked at. */
function isSame(image: MachineOptions["image"] | undefined, bytes: Uint8Array): boolean {
  return image instanceof Uint8Array && equalBytes(image, bytes);
}

/** SHA-256 in hexadecimal digits. */
export function hashBy(platform: Platform, bytes: Uint8Array): string {
  if (platform.sha256 !== undefined) return platform.sha256(bytes);
  throw new SnapshotError("ERR_SNAPSHOT_MACHINE", "this platform computes no SHA-256");
}
