// The state of a machine as snapshots see it. The code that saves is loaded for the first snapshot,
// and the code that restores comes with one.
import type { MachineSaved, Snapshot } from "./snapshot.ts";
import type { MachineStateParts } from "./state-parts.ts";

export class LateState {
  readonly #parts: MachineStateParts;
  #restored: MachineSaved | null = null;

  constructor(parts: MachineStateParts) {
    this.#parts = parts;
  }

  /** For restoring that snapshot. */
  by({ State }: Snapshot): MachineSaved {
    this.#restored ??= new State(this.#parts);
    return this.#restored;
  }

  /** For saving. */
  async load() {
    const { MachineState, whileQuiet } = await import("./saving.ts");
    return { state: new MachineState(this.#parts), whileQuiet };
  }
}
