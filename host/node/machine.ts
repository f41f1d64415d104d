// Machine, on Node.
import * as core from "../machine.ts";
import type { MachineOptions } from "../options.ts";
import { loadParts } from "../parts.ts";
import { optionsFor, type RestoreOptions } from "../snapshot/restore.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import { nodePlatform } from "./platform.ts";

export type { MachineOptions } from "../options.ts";

/** One guest and the machine it runs on. Create it, boot it, and await `exited`. */
export class Machine extends core.Machine {
  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed if one of them cannot be attached. The image's start
   * function runs, if it has one.
   */
  static override async create(options: MachineOptions): Promise<Machine> {
    return new Machine(await loadParts(options, nodePlatform));
  }

  /**
   * A machine that goes on where the snapshot was taken, with devices of the same kinds in the same
   * order. Connections of the saved guest are reset, its listeners stay. It has had its first turn.
   * Rejects with SnapshotError if the snapshot does not fit or is damaged.
   */
  static override async restore(snapshot: Snapshot, options: RestoreOptions): Promise<Machine> {
    const machine = await Machine.create(optionsFor(snapshot, options));
    machine.start(snapshot);
    return machine;
  }
}
