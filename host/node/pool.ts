// MachinePool, on Node.
import * as core from "../snapshot/pool.ts";
import type { RestoreOptions } from "../snapshot/restore.ts";
import type { Snapshot } from "../snapshot/snapshot.ts";
import { Machine } from "./machine.ts";

export type { PooledMachine, PoolOptions } from "../snapshot/pool.ts";

/** Machines from one snapshot, of which each taker has one to itself. */
export class MachinePool<
  Made extends RestoreOptions = RestoreOptions,
> extends core.MachinePool<Made> {
  constructor(snapshot: Snapshot, options: core.PoolOptions<Made>) {
    super(snapshot, options, (from, made) => Machine.restore(from, made));
  }
}
