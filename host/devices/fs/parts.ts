// The parts of a virtio-fs device that not every host needs. A page's Worker has not all of them,
// so that it loads less (read-only.ts).
import type { Operation } from "./operations/entry.ts";
import { OPERATIONS } from "./operations/table.ts";
import { DaxWindow, type WindowParts } from "./window/dax-window.ts";

/** The abilities of a device. */
export interface FsParts {
  /** By opcode. */
  readonly operations: ReadonlyMap<number, Operation>;
  /** null: the guest can map no files. */
  readonly openWindow: ((parts: WindowParts) => DaxWindow) | null;
}

export const ALL_PARTS: FsParts = {
  operations: OPERATIONS,
  openWindow: (parts) => new DaxWindow(parts),
};
