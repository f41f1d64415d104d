// The virtio-fs device of a directory in memory that the guest only reads, and maps no files of:
// without the code that changes anything, waits for a disk, or saves. It answers as the whole
// device does with `readOnly`.
import { DirectoryDevice, type FsOptions } from "./device.ts";
import { READ_ONLY_OPERATIONS } from "./operations/read-only.ts";
import type { FsParts } from "./parts.ts";

const PARTS: FsParts = {
  operations: READ_ONLY_OPERATIONS,
  openWindow: null,
  slowHost: null,
  saving: null,
  teller: null,
};

/** FsDevice that is read-only, without a window, and not saved. */
export class ReadOnlyFsDevice extends DirectoryDevice {
  /** Throws Error if the tag is invalid or the directory cannot be shared. */
  constructor(options: Omit<FsOptions, "readOnly" | "windowBytes">) {
    super({ ...options, readOnly: true }, PARTS);
  }
}
