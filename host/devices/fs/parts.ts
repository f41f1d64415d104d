// The parts of a virtio-fs device that not every host needs. A page's Worker has not all of them,
// so that it loads less (read-only.ts).
import type { Operation } from "./operations/entry.ts";
import { OPERATIONS } from "./operations/table.ts";
import { FsSaving } from "./saving.ts";
import type { FuseServer } from "./server.ts";
import type { Share, ShareParts } from "./share.ts";
import { SlowHost } from "./slow/slow-host.ts";
import { REQUEST_TELLER, type RequestTeller } from "./trace.ts";
import { DaxWindow } from "./window/dax-window.ts";

/** The abilities of a device. */
export interface FsParts extends ShareParts {
  /** By opcode. */
  readonly operations: ReadonlyMap<number, Operation>;
  /** null: there is none yet, or never. */
  readonly teller: RequestTeller | null;
  /** null: a machine with this device cannot be saved. */
  readonly saving: ((share: Share, server: FuseServer, resumed: () => void) => FsSaving) | null;
}

export const ALL_PARTS: FsParts = {
  operations: OPERATIONS,
  openWindow: (parts) => new DaxWindow(parts),
  slowHost: (parts) => new SlowHost(parts),
  teller: REQUEST_TELLER,
  saving: (share, server, resumed) => new FsSaving(share, server, resumed),
};
