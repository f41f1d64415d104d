// The parts of a machine that hold state: a snapshot is read from them, and put into them.
import type { Console } from "../console.ts";
import type { HostControlBlock } from "../control-block.ts";
import type { MachineClock } from "../machine-clock.ts";
import type { GuestMemory } from "../memory.ts";
import type { RegisterFile } from "../mmio.ts";
import type { HostTimePage } from "../time-page.ts";
import type { IsZero } from "./pages.ts";

export interface MachineStateParts {
  readonly module: WebAssembly.Module;
  readonly exports: WebAssembly.Exports;
  readonly memory: GuestMemory;
  readonly clock: MachineClock;
  readonly time: HostTimePage;
  readonly control: HostControlBlock;
  readonly console: Console;
  readonly registers: readonly RegisterFile[];
  /** Default: a loop. */
  readonly isZero: IsZero | undefined;
  /** SHA-256 in hexadecimal digits. */
  readonly hash: (bytes: Uint8Array) => string;
}
