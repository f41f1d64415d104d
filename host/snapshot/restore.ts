// The options of a machine that is made from a snapshot.
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

/** Throws SnapshotError if the image is missing. */
export function optionsFor({ content }: Snapshot, options: RestoreOptions): MachineOptions {
  const image = options.image ?? content.image.module;
  if (image === null) {
    const hash = content.image.hash?.slice(0, 12) ?? "";
    throw new SnapshotError("ERR_SNAPSHOT_IMAGE", `its image is needed, which is ${hash}`);
  }
  return { ...options, image, memoryBytes: content.ramBytes };
}

/** SHA-256 in hexadecimal digits. */
export function hashBy(platform: Platform, bytes: Uint8Array): string {
  if (platform.sha256 !== undefined) return platform.sha256(bytes);
  throw new SnapshotError("ERR_SNAPSHOT_MACHINE", "this platform computes no SHA-256");
}
