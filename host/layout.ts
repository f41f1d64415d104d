// The layout of a machine's memory: the guest's RAM, then the shared memory regions of the devices
// (virtio 2.10). The boot information mentions the RAM only.
import type { VirtioDevice } from "./device.ts";
import { GuestMemory, PAGE_BYTES } from "./memory.ts";

const MEMORY_BYTES_MAX = 65536 * PAGE_BYTES;

/** A shared memory region as the driver finds it; its number is its index in a list. */
export interface Region {
  readonly base: number;
  readonly length: number;
}

export interface Layout {
  readonly memory: GuestMemory;
  /** The regions of each device. */
  readonly regions: ReadonlyMap<VirtioDevice, readonly Region[]>;
}

/** Throws an Error if a size is invalid, or if everything together exceeds 4 GiB. */
export function layOut(
  ramBytes: number,
  devices: readonly VirtioDevice[],
  shared: boolean,
): Layout {
  if (!isSize(ramBytes) || ramBytes > MEMORY_BYTES_MAX) {
    throw new Error(`memory of ${ramBytes} bytes: a multiple of 64 KiB is needed, 4 GiB at most`);
  }
  let end = ramBytes;
  const regions = new Map<VirtioDevice, readonly Region[]>();
  for (const device of devices) {
    const placed = (device.sharedMemory ?? []).map((length) => {
      if (!isSize(length)) {
        throw new Error(
          `${device.name}: shared memory of ${length} bytes: not a multiple of 64 KiB`,
        );
      }
      const base = end;
      end += length;
      return { base, length };
    });
    regions.set(device, placed);
  }
  if (end > MEMORY_BYTES_MAX) {
    throw new Error(
      `memory of ${ramBytes} bytes and shared memory of ${end - ramBytes}: over 4 GiB`,
    );
  }
  return { memory: new GuestMemory(end / PAGE_BYTES, shared, ramBytes), regions };
}

function isSize(bytes: number): boolean {
  return Number.isInteger(bytes) && bytes >= PAGE_BYTES && bytes % PAGE_BYTES === 0;
}
