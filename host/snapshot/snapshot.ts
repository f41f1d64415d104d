// A snapshot: a halted machine as data, to be continued any number of times.
import type { Run } from "./pages.ts";
import type { RegisterState } from "./register-state.ts";

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

/**
 * A halted machine, kept in memory. It does not change, and any number of machines can be restored
 * from it. It holds everything that the guest knew, secrets included.
 */
export class Snapshot {
  /** For the machine; a format of its own, which changes. */
  readonly content: SnapshotContent;

  constructor(content: SnapshotContent) {
    this.content = content;
  }

  /** RAM of the machine in bytes, as of MachineOptions.memoryBytes. */
  get memoryBytes(): number {
    return this.content.ramBytes;
  }

  /** Bytes of RAM that were in use, which is what the snapshot takes. */
  get bytes(): number {
    return this.content.pages.length;
  }

  /** Milliseconds since 1970 when it was taken. */
  get takenMs(): number {
    return Number(this.content.takenNs / 1_000_000n);
  }
}
