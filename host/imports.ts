// What a machine's image may call: the hypercalls and the firmware. Whatever host code throws on
// the way leaves the guest through `end`, which remembers it: a guest may be able to catch it.
import type { Bus } from "./bus.ts";
import type { Console } from "./console.ts";
import { createFirmware, type FirmwareLibrary, PowerOff } from "./firmware.ts";
import { createHypercalls } from "./hypercall.ts";
import type { GuestMemory } from "./memory.ts";
import { type Clock, systemClock } from "./ports/clock.ts";
import type { Presence } from "./presence.ts";

export interface ImportOptions {
  readonly memory: GuestMemory;
  readonly bus: Bus;
  readonly console: Console;
  /** FirmwareOptions.refused */
  readonly refused: () => void;
  readonly presence: Presence;
  /** In place of the system's clock. */
  readonly clock: Clock | undefined;
  /** In place of the system's entropy. */
  readonly entropy: ((into: Uint8Array) => void) | undefined;
  /** Throws the error through the guest. */
  readonly end: (error: unknown) => never;
}

export function createImports(
  library: FirmwareLibrary,
  options: ImportOptions,
): WebAssembly.Imports {
  const { memory, bus, presence, clock, end } = options;
  const powerOff = (code: number): never => {
    memory.assertAttached();
    return end(new PowerOff(code));
  };
  const hypercall = createHypercalls(bus, memory, clock ?? systemClock, end);
  return {
    ...createFirmware(library, { ...options, powerOff }),
    hypercall: {
      ...hypercall,
      mmioWrite(address: number, bytes: number, value: number): void {
        const entry = presence.pause();
        try {
          memory.assertAttached();
          hypercall.mmioWrite(address, bytes, value);
        } catch (error) {
          end(error);
        }
        presence.resume(entry);
      },
    },
  };
}
