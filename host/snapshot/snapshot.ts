// A snapshot: a halted machine as data, to be continued any number of times.
import type { Run } from "./pages.ts";
import type { RegisterState } from "./register-state.ts";
import type { MachineStateParts } from "./state-parts.ts";

/**
 * The image that the machine ran. A file has its hash; the image itself is known once a machine was
 * restored with it.
 */
export interface SnapshotImage {
  bytes: Uint8Array | null;
  module: WebAssembly.Module | null;
  /** SHA-256, in hexadecimal digits; null: not computed yet. */
  hash: string | null;
}

/** A device of the machine, in the order of the bus. */
export interface SavedDevice {
  /** Virtio device type. */
  readonly id: number;
  readonly name: string;
  readonly queueSizesMax: readonly number[];
  /** Bytes of its shared memory regions. */
  readonly sharedMemory: readonly number[];
  readonly registers: RegisterState;
}

/** All that a machine goes on with. */
export interface SnapshotContent {
  readonly image: SnapshotImage;
  readonly ramBytes: number;
  /** Pages of the RAM that are not zero; the bytes of each follow one another in `pages`. */
  readonly runs: readonly Run[];
  readonly pages: Uint8Array;
  /** The bits of each mutable global, in the order of the image. */
  readonly globals: readonly bigint[];
  readonly devices: readonly SavedDevice[];
  /** Monotonic nanoseconds of the guest. */
  readonly nowNs: number;
  /** Nanoseconds since 1970 when it was taken; for people. */
  readonly takenNs: bigint;
  /** The line of the console that the guest has begun. */
  readonly line: Uint8Array;
}

/** A machine that can be put into a saved state. */
export interface MachineSaved {
  /** Throws SnapshotError if the snapshot is of another image, or of a machine unlike this one. */
  assertFits(snapshot: Snapshot): void;
  /**
   * The machine is what the snapshot is, which fits it. `isNew`: its guest has never run. Throws
   * SnapshotError if the snapshot is damaged, and the machine has to be disposed of.
   */
  load(snapshot: Snapshot, isNew: boolean, entropy: ((into: Uint8Array) => void) | null): void;
}

/**
 * A halted machine, kept in memory. It does not change, and any number of machines can be restored
 * from it. It holds everything that the guest knew, secrets included.
 */
export class Snapshot {
  /** For the machine; a format of its own, which changes. */
  readonly content: SnapshotContent;

  /** Restores it. It comes with snapshots, so that machines without any need not load it. */
  readonly State: new (
    parts: MachineStateParts,
  ) => MachineSaved;

  constructor(content: SnapshotContent, State: Snapshot["State"]) {
    this.content = content;
    this.State = State;
  }

  /** RAM of the machine in bytes, as of MachineOptions.memoryBytes. */
  get memoryBytes(): number {
    return this.content.ramBytes;
  }

  /** Bytes of RAM that were in use, which is what the snapshot takes. */
  get bytes(): number {
    return this.content.pages.length;
  }

  /** Connections of the guest, which a machine that goes on loses. */
  get connections(): number {
    const counts = this.content.devices.map(({ registers }) => connectionsOf(registers.device));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Milliseconds since 1970 when it was taken. */
  get takenMs(): number {
    return Number(this.content.takenNs / 1_000_000n);
  }
}

/** Of the state of a device, which only the device understands; 0: it has none. */
function connectionsOf(state: unknown): number {
  const { connections } = (state ?? {}) as { readonly connections?: unknown };
  return typeof connections === "number" ? connections : 0;
}
