// A machine as the tools see it that look into it. They are loaded when they are asked for.
import type { GuestExports } from "./image.ts";
import type { GuestMemory } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";
import type { TraceSink } from "./trace/event.ts";
import type { Tracing } from "./trace/tracing.ts";

export interface MachineInside {
  readonly module: WebAssembly.Module;
  readonly memory: GuestMemory;
  readonly clock: Clock;
  readonly tracing: Tracing;
  /** The guest's; not before it was instantiated. */
  readonly guest: () => GuestExports;
  /** The guest is to be entered in this way from now on, and records its switches or not. */
  readonly traced: (guest: GuestExports, isOn: boolean) => void;
  /** Runs host code inside an entry into the guest. */
  readonly aside: (sink: TraceSink) => TraceSink;
}
