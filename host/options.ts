// What a machine is made of.

import type { VirtioDevice } from "./device.ts";
import type { Log } from "./log.ts";
import type { Clock } from "./ports/clock.ts";
import type { TraceSink } from "./trace.ts";

export interface MachineOptions {
  /**
   * The guest: its bytes, or the module if several machines share it. Of a module nobody can tell
   * whether it has tables or objects without end, which would be memory of the host: an image that
   * is not trusted has to come as bytes.
   */
  readonly image: BufferSource | WebAssembly.Module;
  /** Source map of the image, as text: panics then show AssemblyScript positions. */
  readonly sourceMap?: string | undefined;
  /**
   * RAM, a multiple of 64 KiB; it never grows. Default 64 MiB. Shared memory regions of devices lie
   * behind it, below 4 GiB.
   */
  readonly memoryBytes?: number;
  /** RAM in a SharedArrayBuffer. Slower copies; meant for SMP. */
  readonly sharedMemory?: boolean;
  /** Kernel and application parameters, separated by spaces. The devices are announced before. */
  readonly parameters?: string;
  /** Plugged in this order. A device belongs to one machine. */
  readonly devices?: readonly VirtioDevice[];
  /** Default: the system's. With one of its own a machine's RTC follows it, too. */
  readonly clock?: Clock;
  /** Fills the array with random bytes. Default: the system's entropy. */
  readonly entropy?: (into: Uint8Array) => void;
  /**
   * Feature bits that no device offers: rings without INDIRECT_DESC or EVENT_IDX. Default: none.
   */
  readonly withheldFeatures?: bigint;
  /**
   * Takes the guest's console, by whole lines. Default: dropped. May return a promise, and is
   * called again when that has resolved: up to 1 MiB is kept for it meanwhile, and a guest that
   * prints more has to wait. What it throws ends the machine.
   */
  readonly console?: (text: string) => unknown;
  readonly log?: Log;
  /** Thread switches before the guest must return to the event loop. Default 10000. */
  readonly budget?: number;
  /**
   * Word 0 tells a watchdog which entry into the guest is going on; 0: none, or the host is at work
   * inside it. A reader of the console or a disk may be slow, which is not the guest's fault.
   */
  readonly presence?: Int32Array;
  /**
   * Takes what the machine does, event by event: runs of threads, entries into the guest, kicks,
   * interrupts, packets, file requests. JsonTrace writes them for Perfetto. Default: nobody, and
   * then the guest notes nothing either.
   */
  readonly trace?: TraceSink | undefined;
}
