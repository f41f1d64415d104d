// A guest's place in the network, as its flows see it.
import type { Card } from "../network.ts";
import type { Departure } from "./departure.ts";
import type { UserNetworkStats } from "./stats.ts";
import type { Workshop } from "./workshop.ts";

/**
 * Where long streams to the guest are read: "staging", into memory of the network, from which they
 * are copied, or "in-place", into buffers that the guest has posted, if it takes checksums unmade.
 */
export type UserReceive = "staging" | "in-place";

/**
 * What becomes of bytes that find no posted buffer: "stop" leaves them in the host's socket, "copy"
 * reads them ahead into memory of the network, and "drop" loses the frame, which is sent again.
 */
export type WhenOut = "stop" | "copy" | "drop";

export interface Local {
  readonly card: Card;
  /** The guest's. */
  readonly address: number;
  readonly workshop: Workshop;
  readonly departure: Departure;
  readonly stats: UserNetworkStats;
  readonly receive: UserReceive;
  readonly whenOut: WhenOut;
  /** Milliseconds of the machine's clock. */
  readonly nowMs: number;
}
