// The browser as the platform of machines.
import { Machine } from "../machine.ts";
import type { MachineOptions } from "../options.ts";
import type { Platform } from "../parts.ts";
import { browserClock } from "./clock.ts";
import { browserFirmware } from "./firmware.ts";

/** Clock, firmware and fetch() of a page or a Worker. No hashes, so no snapshots as bytes. */
export const browserPlatform: Platform = {
  clock: browserClock,
  loadFirmware: async () => browserFirmware,
};

/** Machine.create() in a browser. */
export function createMachine(options: MachineOptions): Promise<Machine> {
  return Machine.create(options, browserPlatform);
}
