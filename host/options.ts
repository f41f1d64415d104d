// Options of a machine.

import type { AccessSink } from "./access-log.ts";
import type { VirtioDevice } from "./device.ts";
import type { Log } from "./log.ts";
import type { Clock } from "./ports/clock.ts";
import type { TurnMeter } from "./service/turn-meter.ts";
import type { TraceSink } from "./trace/event.ts";

/** Options of Machine.create(). Only `image` is required. */
export interface MachineOptions {
  /**
   * The guest: its bytes, where to read them, or the module if several machines share it. A module
   * cannot be checked for tables or objects without bounds, which would be host memory, so an
   * untrusted image must come as bytes.
   */
  readonly image: BufferSource | URL | WebAssembly.Module;
  /** Source map of the image, as text: panics then show AssemblyScript positions. */
  readonly sourceMap?: string | undefined;
  /**
   * RAM, a multiple of 64 KiB; it never grows. Default 64 MiB. Shared memory regions of devices
   * follow it, below 4 GiB.
   */
  readonly memoryBytes?: number;
  /** RAM in a SharedArrayBuffer. Slower copies; meant for SMP. */
  readonly sharedMemory?: boolean;
  /**
   * Kernel and application parameters, separated by spaces. They follow the announcement of the
   * devices.
   */
  readonly parameters?: string;
  /** Plugged in in this order. A device belongs to one machine. */
  readonly devices?: readonly VirtioDevice[];
  /** Default: the system's. The guest's real-time clock follows it too. */
  readonly clock?: Clock;
  /** Fills the array with random bytes. Default: the system's entropy. */
  readonly entropy?: (into: Uint8Array) => void;
  /**
   * Feature bits that no device offers, for rings without INDIRECT_DESC or EVENT_IDX. Default:
   * none.
   */
  readonly withheldFeatures?: bigint;
  /**
   * Takes the guest's console output, by whole lines. Default: discarded. It may return a promise,
   * and is called again when that has resolved; meanwhile up to 1 MiB is buffered, and a guest that
   * prints more has to wait. An exception ends the machine.
   */
  readonly console?: (text: string) => unknown;
  readonly log?: Log;
  /** Thread switches before the guest must return to the event loop. Default 10000. */
  readonly budget?: number;
  /**
   * Word 0 tells a watchdog which entry into the guest is going on; 0: none, or host code is at
   * work inside it. A slow disk or console reader is not the guest's fault.
   */
  readonly presence?: Int32Array;
  /**
   * Takes what applications of the guest note about their requests (SysLogRequest). Default: none,
   * and then the guest notes nothing. A machine that is restored has the log that its snapshot had.
   */
  readonly accessLog?: AccessSink | undefined;
  /** Times entries into the guest. Default: none. */
  readonly turnMeter?: TurnMeter | undefined;
  /**
   * Receives events: runs of threads, entries into the guest, kicks, interrupts, packets, file
   * requests. JsonTrace writes them for Perfetto. Default: none, and then the guest records nothing
   * either.
   */
  readonly trace?: TraceSink | undefined;
}
