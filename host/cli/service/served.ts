// A service as its admin listener sees it: one machine, or replicas of it.
import type { Drainable } from "./drain.ts";
import type { Check } from "./health.ts";
import type { Reloadable } from "./reload.ts";
import type { ServiceReport } from "./report.ts";

/** Connections that are listed for one who asks. */
export const LISTED_MAX = 1000;

/** A connection, for whoever asks. */
export interface ListedConnection {
  readonly device: "vsock" | "net";
  /** Of the client; "": not known. */
  readonly address: string;
  /** The peer's port, as the guest sees it. */
  readonly conn: number;
  readonly guestPort: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Missing: there are no replicas. */
  readonly replica?: number;
}

export interface Listed {
  readonly total: number;
  /** Of vsock, then of the card; the oldest first. Those of replicas after one another. */
  readonly connections: readonly ListedConnection[];
}

export interface Served extends Drainable, Reloadable {
  readonly isRetired: boolean;
  /** `isFinal`: the process ends. */
  retire(isFinal?: boolean): void;
  /** Takes retire() back. */
  unretire(): void;
  /** Does a guest run when it is given something to do? Looks at neither disk nor load. */
  isLive(): Promise<boolean>;
  /** Every condition of readiness. */
  checks(): Promise<readonly Check[]>;
  /** Never enters a guest. */
  report(): ServiceReport | Promise<ServiceReport>;
  /** `most` of the connections. */
  connections(most: number): Listed | Promise<Listed>;
  /** Saves a machine. Rejects with the reason. */
  save(path: string): Promise<void>;
}
