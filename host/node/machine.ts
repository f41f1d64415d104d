// Machine, on Node: the system's clock, and the firmware of @wasmer/wasi.
import * as core from "../machine.ts";
import type { MachineOptions } from "../options.ts";
import { systemClock } from "./clock.ts";
import { loadFirmware } from "./firmware.ts";

export type { MachineOptions } from "../options.ts";

const NODE: core.Platform = { clock: systemClock, loadFirmware };

export class Machine extends core.Machine {
  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed if one of them cannot be attached. The image's start
   * function runs, if it has one.
   */
  static override async create(options: MachineOptions): Promise<Machine> {
    return new Machine(await core.loadParts(options, NODE));
  }
}
