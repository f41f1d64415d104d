// Node as the platform of machines: the system's clock, the firmware of @wasmer/wasi, files,
// hashes and memcmp.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fetchImage, type Platform } from "../parts.ts";
import { systemClock } from "./clock.ts";
import { loadFirmware } from "./firmware.ts";

/** As long as the longest range that is looked at. */
const zeros = Buffer.alloc(1 << 16);
/** It works on any bytes. */
const { compare } = Buffer.prototype;
/** In hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Node's fetch() reads no files. */
async function readImage(url: URL): Promise<BufferSource> {
  return url.protocol === "file:" ? readFile(url) : fetchImage(url);
}

export const nodePlatform: Platform = {
  clock: systemClock,
  loadFirmware,
  readImage,
  sha256,
  isZero: (bytes, from, to) => compare.call(bytes, zeros, 0, to - from, from, to) === 0,
};
