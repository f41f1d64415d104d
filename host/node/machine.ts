// Machine, on Node: the system's clock, and the firmware of @wasmer/wasi.
import { readFile } from "node:fs/promises";
import * as core from "../machine.ts";
import type { MachineOptions } from "../options.ts";
import { fetchImage, loadParts, type Platform } from "../parts.ts";
import { systemClock } from "./clock.ts";
import { loadFirmware } from "./firmware.ts";

export type { MachineOptions } from "../options.ts";

/** Node's fetch() reads no files. */
async function readImage(url: URL): Promise<BufferSource> {
  return url.protocol === "file:" ? readFile(url) : fetchImage(url);
}

const NODE: Platform = { clock: systemClock, loadFirmware, readImage };

/** One guest and the machine it runs on. Create it, boot it, and await `exited`. */
export class Machine extends core.Machine {
  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed if one of them cannot be attached. The image's start
   * function runs, if it has one.
   */
  static override async create(options: MachineOptions): Promise<Machine> {
    return new Machine(await loadParts(options, NODE));
  }
}
