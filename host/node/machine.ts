// Machine, on Node.
import { type Insight, insightOf } from "../inspect/insight.ts";
import * as core from "../machine.ts";
import type { MachineOptions } from "../options.ts";
import { loadParts } from "../parts.ts";
import { optionsFor, type RestoreOptions } from "../snapshot/restore.ts";
import type { Snapshot as SavedMachine } from "../snapshot/snapshot.ts";
import { nodePlatform } from "./platform.ts";
import { Snapshot } from "./snapshot.ts";

export type { MachineOptions } from "../options.ts";

/** One guest and the machine it runs on. Create it, boot it, and await `exited`. */
export class Machine extends core.Machine {
  /** For tools that show what goes on in it. */
  get insight(): Insight {
    return insightOf(this);
  }

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
  static override async restore(snapshot: SavedMachine, options: RestoreOptions): Promise<Machine> {
    const machine = await Machine.create(optionsFor(snapshot, options));
    machine.start(snapshot);
    return machine;
  }

  /**
   * Saves the machine, which goes on: its memory, its clock, its devices. Waits until file requests
   * under way have ended, up to `patienceMs` (5 s). Rejects with SnapshotError if it cannot be
   * saved, or not now; nothing has changed then.
   */
  override async snapshot(options: { patienceMs?: number } = {}): Promise<Snapshot> {
    return Snapshot.of(await super.snapshot(options));
  }
}
