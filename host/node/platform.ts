// Node as the platform of machines: the system's clock, the firmware of @wasmer/wasi, hashes and
// memcmp.
import { createHash } from "node:crypto";
import type { Platform } from "../parts.ts";
import { systemClock } from "./clock.ts";
import { loadFirmware } from "./firmware.ts";

/** As long as the longest range that is looked at. */
const zeros = Buffer.alloc(1 << 16);
/** It works on any bytes. */
const { compare } = Buffer.prototype;
export const nodePlatform: Platform = {
  clock: systemClock,
  loadFirmware,
  sha256: (bytes) => createHash("sha256").update(bytes).digest("hex"),
  isZero: (bytes, from, to) => compare.call(bytes, zeros, 0, to - from, from, to) === 0,
};
