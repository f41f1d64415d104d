// The virtio-fs device with all that it can do: reading, changes, and files that the guest maps.
import { DirectoryDevice, type FsOptions } from "./fs/device.ts";
import { ALL_PARTS } from "./fs/parts.ts";

export type { FsOptions } from "./fs/device.ts";

export class FsDevice extends DirectoryDevice {
  /** Throws Error if the tag is invalid or the directory cannot be shared. */
  constructor(options: FsOptions) {
    super(options, ALL_PARTS);
  }
}
