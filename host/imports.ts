// The imports of a machine's image: hypercalls and firmware. An exception of host code passes
// through the guest by way of `end`, which records it, because the guest may be able to catch it.
import type { Bus } from "./bus.ts";
import type { Console } from "./console.ts";
import { createFirmware, PowerOff } from "./firmware.ts";
import { createHypercalls } from "./hypercall.ts";
import type { GuestMemory } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";
import type { FirmwareLibrary } from "./ports/firmware.ts";
import type { Presence } from "./presence.ts";

export interface ImportOptions {
  readonly memory: GuestMemory;
  readonly bus: Bus;
  readonly console: Console;
  /** FirmwareOptions.refused */
  readonly refused: () => void;
  readonly presence: Presence;
  readonly clock: Clock;
  /** FirmwareOptions.realtime */
  readonly realtime: Clock | undefined;
  /** FirmwareOptions.entropy */
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
  const hypercall = createHypercalls(bus, memory, clock, end);
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
